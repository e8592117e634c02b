"""Alarms: what a person must respond to, from conditions to a calm list (ISA-18.2, IEC 62682)."""
