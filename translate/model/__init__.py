"""The networks, their weights on disk and their losses."""
