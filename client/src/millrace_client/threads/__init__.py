"""The client for threads, a module for the methods of each service. `millrace_client.client` puts it together."""
