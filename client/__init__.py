"""Client of Millrace's gRPC services, for programs (`Client`) and terminals (`python -m client`).

Needs `schemas` and grpcio only.
"""

from client.address import Connection, local_connection
from client.client import Client

__all__ = ["Client", "Connection", "local_connection"]
