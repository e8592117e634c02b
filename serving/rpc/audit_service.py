"""gRPC face of the audit log: unpacks requests, packs answers, decides nothing."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from audit.search import Wanted
from schemas.proto.millrace.v1 import audit_pb2, audit_pb2_grpc
from serving.handlers.audit import AuditHandlers

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_FIELDS = [field.name for field in audit_pb2.AuditEvent.DESCRIPTOR.fields]


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    """Servicer of `millrace.v1.AuditService`."""

    def __init__(self, handlers: AuditHandlers) -> None:
        self._handlers = handlers

    async def ListAuditEvents(
        self, request: audit_pb2.ListAuditEventsRequest, context: Context
    ) -> audit_pb2.ListAuditEventsResponse:
        """Entries that fit, newest first."""
        wanted = Wanted(**{name: getattr(request, name) for name in Wanted.__slots__})
        found = await self._handlers.list_events(wanted, request.page_size, request.page_token)
        events = [_event(fields) for fields in found.events]
        return audit_pb2.ListAuditEventsResponse(events=events, next_page_token=found.next_token, size=found.size)


def _event(fields: dict[str, Any]) -> audit_pb2.AuditEvent:
    return audit_pb2.AuditEvent(**{name: fields[name] for name in _FIELDS if name in fields})
