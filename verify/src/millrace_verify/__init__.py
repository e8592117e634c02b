"""Checks an audit log of Millrace, offline. Nothing here is shared with the program that writes the log."""
