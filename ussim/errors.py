"""The one error a user is meant to see."""


class UssimError(Exception):
    """A mistake in what the user gave: a file, a setting, a scene or a store.

    The message is one line that names what is wrong, where, and what is allowed. The command line
    prints it as it is and exits with code 2; it never shows a traceback for it.
    """
