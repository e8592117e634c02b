"""The benchmark harness: what Millrace claims of speed and quality comes from here."""
