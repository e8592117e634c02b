"""The audit log: events of it, the Merkle log that proves it, and the tool that reads it."""
