"""Programs of the foreign machines: each runs as a process of its own and imports nothing of Millrace."""
