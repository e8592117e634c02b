"""Entries as other people's systems take them: OCSF 1.3 as JSON, CEF as a line. Pure.

A sign-in is of OCSF's class Authentication, everything else of API Activity. What has no place in OCSF is under `unmapped`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_AUTHENTICATION, _API = 3002, 6003
_LOGON, _LOGOFF = 1, 2
_CREATE, _READ, _UPDATE, _OTHER = 1, 2, 3, 99
_INFORMATIONAL, _LOW, _MEDIUM = 1, 2, 3
_FAILED = frozenset({"DENY", "ERROR"})
_UNMAPPED = (
    "operation", "second", "command_id", "device_class", "policies", "policy_version", "before", "after", "credential", "amr", "name",
    "undecodable", "sha256",
)  # fmt: skip


def ocsf(fields: dict[str, Any]) -> str:
    """An entry as an OCSF event, one line."""
    action = fields.get("action", "undecodable")
    signing = action in {"sign-in", "sign-out"}
    kind = _AUTHENTICATION if signing else _API
    activity = _activity(action)
    failed = fields.get("outcome", "ERROR") in _FAILED
    user = {"uid": fields.get("subject", ""), "type_id": 1 if fields.get("credential") != "system" else 3}
    host, port = endpoint_of(fields.get("peer", ""))
    event: dict[str, Any] = {
        "activity_id": activity,
        "category_uid": kind // 1000,
        "class_uid": kind,
        "type_uid": kind * 100 + activity,
        "time": fields.get("time_us", 0) // 1000,
        "severity_id": _severity(fields),
        "status_id": 2 if failed else 1,
        "status_code": fields.get("code", ""),
        "status_detail": fields.get("detail", ""),
        "action_id": 2 if fields.get("outcome") == "DENY" else 1,
        "message": fields.get("reason", ""),
        "count": fields.get("count", 1),
        "actor": {"user": user},
        "src_endpoint": {"ip": host, **({"port": port} if port else {})},
        "api": {
            "operation": action,
            "service": {"name": fields.get("service", "")},
            "request": {"uid": fields.get("trace_id", "")},
        },
        "resources": [{"name": fields["path"], "type": "path"}] if fields.get("path") else [],
        "metadata": {
            "version": "1.3.0",
            "uid": fields.get("event_id", ""),
            "sequence": fields["index"],
            "correlation_uid": fields.get("operation", ""),
            "log_name": "audit.log",
            "product": {"name": "Millrace", "vendor_name": "Millrace", "feature": {"name": fields.get("service", "")}},
        },
        "unmapped": {name: fields[name] for name in _UNMAPPED if fields.get(name)}
        | {"method": fields.get("method", "")},
    }
    if signing:
        event["user"] = user
        event["is_mfa"] = bool({"otp", "mfa"} & set(fields.get("amr", ())))
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def cef(fields: dict[str, Any]) -> str:
    """An entry as a line of ArcSight's Common Event Format."""
    action = str(fields.get("action", "undecodable"))
    outcome = str(fields.get("outcome", "ERROR"))
    severity = {_INFORMATIONAL: 1, _LOW: 4, _MEDIUM: 6}[_severity(fields)]
    head = "|".join(_head(text) for text in ("Millrace", "Millrace", "1", action, f"{action} {outcome}", str(severity)))
    host, port = endpoint_of(str(fields.get("peer", "")))
    extension = {
        "rt": fields.get("time_us", 0) // 1000,
        "externalId": fields.get("event_id", ""),
        "cn1Label": "index",
        "cn1": fields["index"],
        "suid": fields.get("subject", ""),
        "duid": fields.get("second", ""),
        "src": host,
        "spt": port,
        "act": outcome,
        "outcome": "failure" if outcome in _FAILED else "success",
        "reason": fields.get("reason", ""),
        "request": fields.get("method", ""),
        "dvchost": fields.get("service", ""),
        "cnt": fields.get("count", 1),
        "msg": fields.get("detail", ""),
        **_labelled("cs1", "path", fields.get("path", "")),
        **_labelled("cs2", "operation", fields.get("operation", "")),
        **_labelled("cs3", "policies", ",".join(fields.get("policies", ()))),
        **_labelled("cs4", "policyVersion", fields.get("policy_version", "")),
        **_labelled("cs5", "before", fields.get("before", "")),
        **_labelled("cs6", "after", fields.get("after", "")),
    }
    return f"CEF:0|{head}|" + " ".join(f"{name}={_value(value)}" for name, value in extension.items() if value != "")


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {"ocsf": ocsf, "cef": cef}


def endpoint_of(peer: str) -> tuple[str, int | str]:
    """Host and port of a peer, as gRPC or HTTP write it.

    >>> endpoint_of("ipv4:10.0.0.7:51000"), endpoint_of("10.0.0.7:5"), endpoint_of("ipv6:[::1]:9"), endpoint_of("")
    (('10.0.0.7', 51000), ('10.0.0.7', 5), ('::1', 9), ('', ''))
    """
    text = peer.removeprefix("ipv4:").removeprefix("ipv6:").replace("%5B", "[").replace("%5D", "]")
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() else (text, "")


def _activity(action: str) -> int:
    if action in {"sign-in", "sign-out"}:
        return _LOGON if action == "sign-in" else _LOGOFF
    if action == "read":
        return _READ
    if action == "command:submit":
        return _CREATE
    return (
        _UPDATE
        if action.partition(":")[0] in {"command", "work", "registry", "history", "policy", "access", "storage"}
        else _OTHER
    )


def _severity(fields: dict[str, Any]) -> int:
    if str(fields.get("action", "undecodable")) in {
        "audit:gap",
        "audit:topic",
        "audit:truncated",
        "audit:lost",
        "undecodable",
    }:
        return _MEDIUM
    return _LOW if fields.get("outcome") in _FAILED else _INFORMATIONAL


def _labelled(name: str, label: str, value: str) -> dict[str, str]:
    return {f"{name}Label": label, name: value} if value else {}


def _head(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _value(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n")
