"""Backups of the stack's database by pgBackRest: the program (`pgbackrest`), what is done with it (`actions`), how it stands (`state`)."""
