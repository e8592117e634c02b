"""Modbus TCP: registers and coils of PLCs and of gateways to serial buses."""
