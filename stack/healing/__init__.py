"""Healing of jobs: the state of a job (`assessment`), what to do about it (`ladder`), doing it (`actions`), the record (`record`)."""
