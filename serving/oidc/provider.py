"""The issuer as this server knows it: where its endpoints are (OpenID Connect Discovery), and its keys, read again and again.

An issuer that cannot be reached costs nobody who is signed in: keys that were read stay good until it answers again, for `_KEEP_S` at
most. A token that names an unknown key makes the keys be read at once, but not more often than every `_LEAST_S`, so that invented names
cost little.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from base.errors import ConfigError, MillraceError, UnavailableError
from base.fetch import Fetcher
from privacy.store import Store
from serving.oidc.keys import Key, read_jwks
from serving.oidc.settings import OidcSettings
from serving.oidc.verifier import Verifier
from serving.principals import Principal

log = logging.getLogger(__name__)

_LEAST_S = 10.0
_KEEP_S = 24 * 3_600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """Of the discovery document. `end_session` is empty where the issuer has none."""

    authorization: str
    token: str
    jwks: str
    end_session: str = ""


class Provider:
    """Keeps endpoints and keys current, and tells whom tokens stand for."""

    def __init__(
        self,
        settings: OidcSettings,
        people: Store | None = None,
        *,
        fetcher: Fetcher | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self.settings = settings
        self.verifier = verifier or Verifier(settings, people)
        self.endpoints: Endpoints | None = None
        self.generation = 0
        self._fetcher = fetcher or Fetcher(settings.ca)
        self._wanted = asyncio.Event()
        self._read_s = self._tried_s = float("-inf")

    def principal(self, token: str) -> Principal:
        """Whom a token stands for; UnavailableError when its key may be a new one that is being read just now."""
        kid = self.verifier.key_id(token)
        if not self.verifier.has_key(kid) and time.monotonic() - self._tried_s > _LEAST_S:
            self._wanted.set()
            msg = "the token's key is not known yet; the issuer's keys are being read, try again"
            raise UnavailableError(msg)
        return self.verifier.principal(token)

    async def learn_key(self, token: str) -> None:
        """Read the issuer's keys when that of a token, which it has just given us itself, is not known: it has made a new one since.

        Raises UnauthenticatedError for a token whose header is refused, UnavailableError when the issuer does not answer.
        """
        if not self.verifier.has_key(self.verifier.key_id(token)):
            await self.refresh()

    def knows(self, credential: str) -> bool:
        """Whether the key that signed for a principal is still the issuer's."""
        return self.verifier.knows(credential)

    async def run(self) -> None:
        """Read endpoints and keys until cancelled."""
        while True:
            self._wanted.clear()
            try:
                await self.refresh()
            except MillraceError as error:
                log.warning(
                    "the issuer's keys were not read", extra={"issuer": self.settings.issuer, "cause": str(error)}
                )
                if time.monotonic() - self._read_s > _KEEP_S:
                    self._take({})
            # At least so long even when callers ask for it, and sooner than usual after a failure.
            await asyncio.sleep(_LEAST_S)
            fresh = time.monotonic() - self._read_s < self.settings.refresh_s
            try:
                await asyncio.wait_for(self._wanted.wait(), self.settings.refresh_s - _LEAST_S if fresh else 0.001)
            except TimeoutError:
                continue

    async def refresh(self) -> None:
        """Read endpoints and keys now; raises UnavailableError or ConfigError."""
        try:
            self.endpoints = await self._discover()
            self._take(read_jwks(await asyncio.to_thread(self._fetcher.get, self.endpoints.jwks)))
            self._read_s = time.monotonic()
        finally:
            self._tried_s = time.monotonic()

    def _take(self, keys: Mapping[str, Key]) -> None:
        if self.verifier.set_keys(keys):
            self.generation += 1

    async def redeem(self, form: Mapping[str, str]) -> Mapping[str, object]:
        """Tokens that the issuer gives for a code; raises UnavailableError, also when it refuses."""
        if self.endpoints is None:
            msg = "the issuer's endpoints are not known yet; try again"
            raise UnavailableError(msg)
        try:
            found = json.loads(await asyncio.to_thread(self._fetcher.post, self.endpoints.token, form))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            msg = "the issuer's answer to a code is no JSON object"
            raise UnavailableError(msg)
        return found

    async def _discover(self) -> Endpoints:
        place = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await asyncio.to_thread(self._fetcher.get, place)
        try:
            found = json.loads(document)
            if found["issuer"] != self.settings.issuer:
                msg = f"{place} is of the issuer {str(found['issuer'])[:200]!r}; oidc.issuer has to be exactly that"
                raise ConfigError(msg)
            endpoints = Endpoints(
                authorization=str(found["authorization_endpoint"]),
                token=str(found["token_endpoint"]),
                jwks=str(found["jwks_uri"]),
                end_session=str(found.get("end_session_endpoint", "")),
            )
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{place} is no discovery document: {error!r}"
            raise ConfigError(msg) from None
        scheme = self.settings.issuer.partition(":")[0]
        for url in (endpoints.authorization, endpoints.token, endpoints.jwks, endpoints.end_session):
            if url and not url.startswith(("https://", f"{scheme}://")):
                msg = f"{place} names {url[:200]!r}, which is less safe than the issuer itself"
                raise ConfigError(msg)
        return endpoints
