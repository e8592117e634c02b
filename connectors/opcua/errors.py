"""Errors of a connection in words that name cause and fix."""

from __future__ import annotations

import socket

from asyncua import ua

from base.errors import ConfigError
from connectors.opcua.certificates import Identity, fingerprint, thumbprint
from connectors.opcua.settings import OpcUaSettings

_LONGEST = 500
_CERTIFICATE = (
    ua.uaerrors.BadCertificateUntrusted,
    ua.uaerrors.BadSecurityChecksFailed,
    ua.uaerrors.BadCertificateChainIncomplete,
    ua.uaerrors.BadCertificateRevoked,
    ua.uaerrors.BadCertificateInvalid,
    ua.uaerrors.BadCertificateUseNotAllowed,
)
_USER = (
    ua.uaerrors.BadIdentityTokenRejected,
    ua.uaerrors.BadIdentityTokenInvalid,
    ua.uaerrors.BadUserAccessDenied,
    ua.uaerrors.BadUserSignatureInvalid,
)
_SESSIONS = (ua.uaerrors.BadTooManySessions, ua.uaerrors.BadMaxConnectionsReached)


def explain(error: Exception, settings: OpcUaSettings, own: Identity | None) -> str:
    """What went wrong and what to do, for status, events and logs."""
    name = type(error).__name__
    if isinstance(error, ConfigError):
        return str(error)
    text = f"{name}: {error}"[:_LONGEST] if str(error) else name
    if fix := _fix(error, settings, own):
        return f"{fix} ({name})"
    return text


def _fix(error: Exception, settings: OpcUaSettings, own: Identity | None) -> str:
    found = _network(error, settings)
    if isinstance(error, _USER):
        who = settings.username or settings.user_certificate or "anonymous users"
        found = f"the server refuses {who[:200]}: check username and password, or the user's certificate"
    elif isinstance(error, _SESSIONS):
        found = "the server has no session left; it frees those of broken connections after their timeout"
    elif isinstance(error, ua.uaerrors.BadSecurityPolicyRejected):
        found = f"the server does not accept the security policy {settings.security_policy or 'None'}"
    elif isinstance(error, _CERTIFICATE) and own is None:
        found = "the server wants a secure channel: set security_policy"
    elif own is not None:
        found = found or _certificate(error, own)
    return found


def _certificate(error: Exception, own: Identity) -> str:
    """What a server has against the gateway's certificate."""
    if isinstance(error, _CERTIFICATE):
        names = f"{fingerprint(own.certificate)} (SHA-1 {thumbprint(own.certificate)})"
        return f"the server does not trust this gateway's certificate {names}: trust it at the server"
    if isinstance(error, ua.uaerrors.BadCertificateUriInvalid):
        return f"the server does not accept the application URI {own.uri} of this gateway's certificate"
    if isinstance(error, ua.uaerrors.BadCertificateTimeInvalid):
        until = own.certificate.not_valid_after_utc
        return (
            f"the server says that this gateway's certificate is not valid now; it is valid until {until:%Y-%m-%d}: compare the "
            "clocks, or renew the certificate with python -m edge certificate renew"
        )
    return ""


def _network(error: Exception, settings: OpcUaSettings) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {settings.endpoint}"
    if isinstance(error, socket.gaierror):
        return f"the host name of {settings.endpoint} cannot be resolved"
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer from {settings.endpoint} in {settings.request_timeout_s:g} s"
    return ""
