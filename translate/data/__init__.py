"""From a store to batches: what is held out, channels, crops."""
