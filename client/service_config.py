"""gRPC service config of the client: which calls are tried again, by the library itself.

Only UNAVAILABLE, and only calls that do no harm twice: reads; submitting (the client makes the command's id, so a retry
is the same command); cancelling and approving, which say the same thing again. RESOURCE_EXHAUSTED is the caller's to
slow down for.
"""

from __future__ import annotations

import json

_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2.0,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_STATE = ("ListDevices", "GetDevice", "ListTags", "GetTag", "WatchTags", "WatchAnomalies")
_COMMANDS = ("SubmitCommand", "GetCommand", "WatchCommand", "CancelCommand", "ApproveCommand")

SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "millrace.v1.StateService", "method": method} for method in _STATE]
                + [{"service": "millrace.v1.CommandService", "method": method} for method in _COMMANDS],
                "retryPolicy": _RETRY,
            }
        ]
    }
)
