"""Learning: settings, the loop, its processes and checkpoints."""
