"""What becomes of a command: requests, controls and acknowledgements, correlated."""
