"""Rules of alarms as a file: checked, tried on history, published."""
