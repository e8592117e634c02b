"""Machines that behave like machines, behind a real OPC UA server and real Sparkplug B edge nodes.

Enters: the plant file (`simulate` keys of its tags), writes of OPC UA and Sparkplug clients, faults and pause through the admin interface.
Leaves: samples on both protocols, and a journal (SQLite) that says exactly what was emitted, so that tests can account for every sample.
Reading order: `plant` (what there is), `packml`, `signals`, `machines` (physics), `faults`, `simulation` (when which tag is sampled),
`opcua_server`, `sparkplug_node` (how samples leave), `journal`, `service` (wiring), `control` and `cli` (admin).
"""
