"""Event-time windows and their algebra."""
