"""`peers`: the same windowed aggregate by others. See `benchmarks.peers.run`."""
