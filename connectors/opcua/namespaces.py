"""Addresses -> node ids of one session: a namespace URI is looked up in the server's NamespaceArray, which may change at every start."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asyncua import ua

from connectors.opcua.address import NodeAddress

NAMESPACE_ARRAY = ua.NodeId(ua.ObjectIds.Server_NamespaceArray)
START_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime)


class Namespaces:
    """The NamespaceArray of a session."""

    def __init__(self, uris: Sequence[str] = ()) -> None:
        self.uris = tuple(uris)
        # The first of equal URIs counts, as in the servers.
        self._index = {uri: index for index, uri in reversed(list(enumerate(uris)))}

    def node_id(self, address: NodeAddress) -> Any:
        """The ua.NodeId; raises LookupError with the cause when the server has no such namespace."""
        index = address.namespace
        if address.uri:
            if address.uri not in self._index:
                known = ", ".join(self.uris[1:8])
                msg = f"the server has no namespace {address.uri[:200]}; it has {known[:500]}"
                raise LookupError(msg)
            index = self._index[address.uri]
        match address.kind:
            case "s":
                return ua.NodeId(address.identifier, index, ua.NodeIdType.String)
            case "i":
                return ua.NodeId(int(address.identifier), index, ua.NodeIdType.Numeric)
            case "g":
                return ua.NodeId(UUID(address.identifier), index, ua.NodeIdType.Guid)
            case _:
                return ua.NodeId(base64.b64decode(address.identifier), index, ua.NodeIdType.ByteString)
