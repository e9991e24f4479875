"""``ussim bench --suite``: all that this machine is asked to do, timed, beside its limits and its peers."""
