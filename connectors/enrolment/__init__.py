"""How a gateway gets its certificate over the network: the code, what is asked, what is answered. Both sides import it (ADR 0050)."""
