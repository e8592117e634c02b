"""A small certificate authority for the programs of one installation; imports nothing of the rest but `base`."""
