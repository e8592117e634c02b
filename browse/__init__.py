"""A tool for people: what an OPC UA server or an MQTT broker has, and a plant file's skeleton of it."""
