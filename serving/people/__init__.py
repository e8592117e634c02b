"""What an installation has of a person: collected, exported, forgotten."""
