"""A campaign of damaged inputs against the commands: see ``campaign.py``."""
