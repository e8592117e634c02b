"""One file or package per protocol or store. Imports `schemas` and third-party clients only."""
