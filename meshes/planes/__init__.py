"""Where the probe goes: standard planes of the fetus, their acoustic window, and the poses on the skin."""
