"""Golden cases of who is told of alarms."""
