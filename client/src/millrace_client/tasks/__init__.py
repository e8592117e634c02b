"""The client for event loops, a module for the methods of each service. `millrace_client.aio` puts it together."""
