"""Plain MQTT: JSON on topics of any name, as in a unified namespace."""
