"""Sparkplug B 3.0 over MQTT 3.1.1: payload codec, topic names, and the primary host application used by the gateway."""
