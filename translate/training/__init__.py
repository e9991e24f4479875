"""Learning: updates of the networks, the loop, the run folder, and the processes that share the work."""
