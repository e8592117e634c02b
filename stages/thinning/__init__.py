"""Fewer samples at the source: deadband and swinging door."""
