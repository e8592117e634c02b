"""Policies of commands and alarms in Cedar: who may do what where, and when a second person is needed."""
