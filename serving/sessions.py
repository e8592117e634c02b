"""Sessions of browsers: a signed cookie that any process of the installation can check, without shared state.

Enters: a principal that has shown its token once. Leaves: the cookie's value, and from it again who it is and until when. The value holds
the token's hash, or the name of a caller on the loopback interface without tokens, a nonce and the end of the session, under an HMAC-
SHA256 with the installation's key, of which there may be several while one replaces another. The token itself is not in it. Nothing is
stored: the number of sessions costs nothing, a restart ends none, and a token that is withdrawn ends all of its own, as the hash has to
be in the tokens file at every request. The value says when it was made, so that somebody can sign out everywhere (`serving.sign_outs`).
The session of somebody who signed in at an issuer says who that is and what the issuer's token allowed, and ends with that token.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from base import base64url, files
from base.errors import ConfigError, PermissionDeniedError
from base.ids import Clock, now_us

log = logging.getLogger(__name__)

COOKIE = "millrace_session"
HOST_ONLY = "__Host-"
"""Browsers take a cookie whose name begins so from this host over TLS alone (RFC 6265bis): no neighbour's page can put one in its place."""
LEAST_KEY = 32
_SETTLED_NS = 2_000_000_000
Keys = Callable[[], tuple[bytes, ...]]
"""Keys of now; the first one makes what the others are still taken for."""
_VERSION = "3"
_MAX_VALUE = 4_000
"""Browsers keep cookies of 4 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """Who a cookie stands for.

    `credential` is the hash of a token, `name` a caller on the loopback interface. An issuer's token gives all three: its credential, the
    name and what it allows.
    """

    credential: str
    name: str
    until_us: int
    made_us: int = 0
    allow: tuple[str, ...] = ()
    amr: tuple[str, ...] = ()
    signed_in_us: int = 0


class Sessions:
    """Makes and checks cookies."""

    def __init__(self, keys: Keys, *, length_s: float, tls: bool = False, clock: Clock = now_us) -> None:
        """`tls`: browsers reach this server over TLS."""
        self._keys = keys
        self.length_s = length_s
        self.cookie = cookie_name(COOKIE, tls=tls)
        self._clock = clock

    def make(
        self,
        *,
        credential: str = "",
        name: str = "",
        allow: Iterable[str] = (),
        amr: Iterable[str] = (),
        signed_in_us: int = 0,
        issued_us: int | None = None,
        until_us: int = 0,
    ) -> str:
        """Value of the cookie of a new session, which ends after `length_s`, and not after `until_us` when that is given.

        `issued_us`: when the token was made that it is given for; a sign-out of after that ends the session too.
        """
        now_us = self._clock()
        longest_us = now_us + int(self.length_s * 1e6)
        until_us = min(until_us, longest_us) if until_us else longest_us
        made_us = now_us if issued_us is None else min(now_us, issued_us)
        allow = tuple(allow)
        who, what = _packed(name), _packed(json.dumps([sorted(allow), sorted(amr), signed_in_us]))
        text = ".".join((_VERSION, str(until_us), str(made_us), secrets.token_hex(16), credential, what, who))
        value = f"{text}.{mac(self._keys()[0], f'session:{text}')}"
        if len(value) > _MAX_VALUE:
            msg = f"what {name} may do in {len({*allow})} places does not fit into a cookie; roles for larger parts of the plant do"
            raise PermissionDeniedError(msg)
        return value

    def read(self, value: str) -> Session | None:
        """The session of a cookie's value; None for one that is not ours, or over."""
        text, _, signature = value.rpartition(".")
        parts = text.split(".")
        if len(value) > _MAX_VALUE or len(parts) != 7 or parts[0] != _VERSION or not value.isascii():
            return None
        if maker(self._keys(), f"session:{text}", signature) is None:
            return None
        until_us = int(parts[1])
        if until_us <= self._clock():
            return None
        try:
            name, (allow, amr, signed_in_us) = _unpacked(parts[6]), json.loads(_unpacked(parts[5]))
        except (binascii.Error, ValueError):
            return None
        return Session(
            credential=parts[4],
            name=name,
            until_us=until_us,
            made_us=int(parts[2]),
            allow=tuple(allow),
            amr=tuple(amr),
            signed_in_us=signed_in_us,
        )

    def shown_by(self, headers: Iterable[tuple[str, str]]) -> str:
        """The session's cookie that a caller shows; empty for none, beside a token, or for two: of those nobody can say which counts."""
        pairs = tuple(headers)
        if any(name == "authorization" for name, _ in pairs):
            return ""
        return cookie_of(pairs, self.cookie)

    def csrf(self, value: str) -> str:
        """What requests that change something have to send beside this cookie; a page of another site cannot know it."""
        text, _, signature = value.rpartition(".")
        keys = self._keys()
        # Of the key that made the cookie: the page has it from before the newest key came.
        return mac(maker(keys, f"session:{text}", signature) or keys[0], f"csrf:{value}")


def _packed(text: str) -> str:
    return base64url.encode(text.encode())


def _unpacked(text: str) -> str:
    return base64url.decode(text).decode()


def mac(key: bytes, text: str) -> str:
    """HMAC-SHA256, hexadecimal."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def maker(keys: Iterable[bytes], text: str, found: str) -> bytes | None:
    """The key that made this code of the text; None when it is none of these."""
    return next((key for key in keys if hmac.compare_digest(mac(key, text).encode(), found.encode())), None)


class KeyFile:
    """Keys of a file, one a line: the first one makes, each one is taken. Read again when it changes. Raises ConfigError."""

    def __init__(self, path: str) -> None:
        self._path, self._said = Path(path), ""
        self._stamp, self._keys = self._read()

    def __call__(self) -> tuple[bytes, ...]:
        """The keys of now; those of before where the file has become unusable, which is said once."""
        try:
            if self._stamp_of() == self._stamp:
                return self._keys
            before = self._keys
            self._stamp, self._keys = self._read()
            if self._keys != before:
                log.info("keys of sessions were read again", extra={"keys": len(self._keys)})
        except (ConfigError, OSError) as error:
            if (cause := str(error)) != self._said:
                log.error("sessions go on with the keys of before", extra={"cause": cause})
                self._said = cause
        return self._keys

    def _stamp_of(self) -> tuple[int, ...]:
        # Two changes within a step of the file system's clock, keys that change places above all, look alike: no stamp counts before.
        stamp = files.stamp(self._path)
        settled = time.time_ns() - stamp[0] > _SETTLED_NS
        return *stamp, 0 if settled else time.monotonic_ns()

    def _read(self) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
        try:
            stamp, whole = self._stamp_of(), self._path.read_bytes().strip()
        except OSError as error:
            msg = f"http.session_key {self._path} cannot be read: {error.strerror}"
            raise ConfigError(msg) from error
        lines = tuple(one.strip() for one in whole.splitlines() if one.strip())
        # Random bytes, not written as text, may have a line's end among them.
        keys = lines if whole.isascii() else (whole,)
        if not keys or min(map(len, keys)) < LEAST_KEY:
            least = f"at least {LEAST_KEY} random ones are needed (openssl rand -hex 32)"
            short = f"a line of {min(map(len, keys))}" if len(keys) > 1 else f"{len(whole)}"
            msg = f"http.session_key {self._path} has {short} bytes; {least}"
            raise ConfigError(msg)
        return stamp, keys


def keys_of(path: str) -> Keys:
    """Keys of a file; without one, a random key: sessions then end with this process. Raises ConfigError for a short one."""
    return KeyFile(path) if path else fixed(secrets.token_bytes(LEAST_KEY))


def fixed(key: bytes) -> Keys:
    """One key that stays."""
    return lambda: (key,)


def cookie_name(plain: str, *, tls: bool) -> str:
    """What a cookie is called. Without TLS, which is on the loopback interface alone, browsers would not take the prefix."""
    return f"{HOST_ONLY}{plain}" if tls else plain


def set_cookie(name: str, value: str, *, age_s: int, same_site: str, tls: bool) -> tuple[str, str]:
    """Header that gives a browser a cookie, for this host and no script. An empty value and age take it back."""
    secure = "; Secure" if tls else ""
    return (
        "set-cookie",
        f"{cookie_name(name, tls=tls)}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite={same_site}{secure}",
    )


def cookie_of(pairs: Iterable[tuple[str, str]], wanted: str) -> str:
    """Value of a cookie of that name; empty for none, or for two: of those nobody can say which counts."""
    # HTTP/2 may split the header.
    parts = "; ".join(value for name, value in pairs if name == "cookie").split(";")
    found = [value for part in parts for name, _, value in (part.strip().partition("="),) if name == wanted]
    return found[0] if len(found) == 1 else ""
