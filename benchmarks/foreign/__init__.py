"""OPC UA servers and Sparkplug nodes of other makers, and the campaign that drives the connectors against them."""
