"""Policies of commands in Cedar: who may submit, cancel and approve what, and when a second person is needed."""
