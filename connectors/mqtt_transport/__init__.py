"""MQTT for the protocols that are spoken over it: settings, TLS and one connection. What messages mean is theirs."""
