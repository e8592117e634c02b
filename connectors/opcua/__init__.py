"""OPC UA client: sessions, subscriptions, writes."""
