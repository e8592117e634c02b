"""Documents of an issuer of tokens over HTTPS: small, quick, from that address and no other."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlencode

from base.errors import UnavailableError

TIMEOUT_S = 5.0
MAX_BYTES = 1 << 20


class RefusedError(UnavailableError):
    """The issuer answered with an error; `code` is its name in the protocol, empty when it has none."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An issuer's documents are where it says; a redirect could lead anywhere."""

    def redirect_request(self, *_: object) -> None:
        return None


class Fetcher:
    """Fetches from issuers whose certificate `ca` signed; empty: those the system trusts. Called in a thread."""

    def __init__(self, ca: str = "") -> None:
        context = ssl.create_default_context(cafile=ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        handlers = (urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({}), _NoRedirect())
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, url: str) -> bytes:
        """Body of a document; raises UnavailableError."""
        return self._open(urllib.request.Request(url, headers={"accept": "application/json"}))

    def post(self, url: str, form: Mapping[str, str]) -> bytes:
        """Body of the answer to a form; raises UnavailableError, also for an answer that is an error."""
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        return self._open(urllib.request.Request(url, data=urlencode(form).encode(), headers=headers))

    def _open(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                body: bytes = answer.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            msg = f"the issuer answers {error.code} at {_place(request)}"
            raise RefusedError(msg, code=_code(error)) from None
        except (OSError, http.client.HTTPException) as error:
            msg = f"the issuer cannot be reached at {_place(request)}: {error}"
            raise UnavailableError(msg) from None
        if len(body) > MAX_BYTES:
            msg = f"the issuer's answer at {_place(request)} is larger than {MAX_BYTES} bytes"
            raise UnavailableError(msg)
        return body


def _code(error: urllib.error.HTTPError) -> str:
    try:
        found = json.loads(error.read(MAX_BYTES))["error"]
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return ""
    return found[:100] if isinstance(found, str) else ""


def _place(request: urllib.request.Request) -> str:
    return request.full_url.partition("?")[0]
