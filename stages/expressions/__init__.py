"""Expressions over tags in CEL (Common Expression Language): read, checked, compiled once, evaluated on last values and windows."""
