"""The simulated week in a database, and what the truth of it says: oracles that share no code with the SQL they judge."""
