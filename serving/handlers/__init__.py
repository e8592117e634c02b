"""What callers may ask: plain async functions over the caches and the database, shared by gRPC and HTTP."""
