"""How gateways get certificates over the network: codes, a door that faces it, and a signer that does not (ADR 0050)."""
