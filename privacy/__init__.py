"""People: a subject id for each in everything that is recorded, and one place, encrypted per person, where it leads to a name."""
