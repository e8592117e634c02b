"""The authority: makes its root, issues certificates, renews them, and says whether one counts. `book` has its folder.

A name is revoked as a whole: everything that was issued to its present generation. What it is issued afterwards is of the next generation,
which is part of the subject, so whoever compares subjects never takes the stolen one for the new one. Renewals stay in the generation. Any
number of processes may call; a lock makes one wait for the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from authority import certificates
from authority.book import AuthorityError, Book, Entry, Usage
from base import files, p256

LIFE = timedelta(days=30)
_Asked = tuple[Usage, ec.EllipticCurvePublicKey, Sequence[str]]
"""What for, for which key, and the addresses of a server."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Authority(Book):
    """The authority in a folder, made when there is none."""

    def ensure(self, name: str, usage: Usage, addresses: Sequence[str] = ()) -> bool:
        """Issue or renew where that is due; whether it was. A revoked name stays without one until `issue` is asked for."""
        return bool(self.ensure_all({name: (usage, addresses)}))

    def ensure_all(self, wanted: Mapping[str, tuple[Usage, Sequence[str]]]) -> list[str]:
        """The same for many names, in one pass over the list; the names for which it was due."""
        with self.held():
            newest = {one.name: one for one in self.entries()}
            due = {name: asked for name, asked in wanted.items() if self._is_due(newest.get(name), *asked)}
            self._issue(due)
            return list(due)

    def _is_due(self, found: Entry | None, usage: Usage, addresses: Sequence[str]) -> bool:
        if found is None:
            return True
        if found.revoked is not None:
            return False
        as_wanted = (found.usage, found.addresses) == (usage, tuple(addresses))
        return found.state(self._clock()) != "good" or not as_wanted or not self._has(found)

    def _has(self, entry: Entry) -> bool:
        """Whether a name's file holds what the list says was issued to it, by the present root: whoever wrote them may have been killed."""
        try:
            found = x509.load_pem_x509_certificate(self.file(entry.name).read_bytes())
            found.verify_directly_issued_by(x509.load_pem_x509_certificate(self.root_file.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError, InvalidSignature):
            return False
        is_of_list = (f"{found.serial_number:x}", found.not_valid_after_utc) == (entry.serial, entry.expires)
        return is_of_list and found.subject.rfc4514_string() == entry.subject

    def issue(self, name: str, usage: Usage, addresses: Sequence[str] = ()) -> Entry:
        """A key and a certificate; of the next generation where the present one is revoked."""
        with self.held():
            (entry,) = self._issue({name: (usage, addresses)})
            return entry

    def _issue(self, wanted: Mapping[str, tuple[Usage, Sequence[str]]]) -> list[Entry]:
        """Called under the lock."""
        keys = {name: p256.new_key() for name in wanted}
        signed = self._sign({name: (asked[0], keys[name].public_key(), asked[1]) for name, asked in wanted.items()})
        for entry, made in signed:
            text = p256.key_pem(keys[entry.name]) + certificates.pem(made)
            files.replace_durably(self.file(entry.name), text, mode=files.OWNERS)
        return [entry for entry, _ in signed]

    def sign(self, name: str, usage: Usage, key: ec.EllipticCurvePublicKey) -> tuple[Entry, str]:
        """A certificate, PEM, for somebody who has made the key; of the next generation where the present one is revoked.

        A key of that name which lies here is deleted: it is the holder's of before.
        """
        with self.held():
            ((entry, made),) = self._sign({name: (usage, key, ())})
            self.file(name).unlink(missing_ok=True)
            return entry, certificates.pem(made)

    def prove(self, data: bytes) -> bytes:
        """A signature of the root over what is no certificate: `data` begins with what it is for. ECDSA, SHA-256."""
        with self.held():
            return p256.sign(self._root()[1], data)

    def is_good(self, certificate: x509.Certificate) -> Entry | None:
        """The entry of a client's certificate that counts now: of this root, in its time, of a generation that is not revoked."""
        try:
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(self.root_file.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError, InvalidSignature):
            return None
        subject = certificate.subject.rfc4514_string()
        entry = next((one for one in self.entries() if one.subject == subject and one.usage is Usage.CLIENT), None)
        if entry is None or entry.revoked is not None:
            return None
        return entry if certificate.not_valid_before_utc <= self._clock() < certificate.not_valid_after_utc else None

    def _sign(self, wanted: Mapping[str, _Asked]) -> list[tuple[Entry, x509.Certificate]]:
        """Called under the lock."""
        for name in wanted:
            if not _NAME.fullmatch(name) or name == "ca":
                msg = f"{name!r} is no name of a certificate: up to 64 letters, digits, '.', '_' and '-', and not 'ca'"
                raise AuthorityError(msg)
        entries = {(one.name, one.generation): one for one in self.entries()}
        newest = {one.name: one for one in entries.values()}
        found = list[tuple[Entry, x509.Certificate]]()
        for name, asked in wanted.items():
            before = newest.get(name)
            generation = 1 if before is None else before.generation + (before.revoked is not None)
            entry, made = self._signed(name, generation, *asked)
            entries[name, generation] = entry
            found.append((entry, made))
        # The list first: a certificate that is not in it could not be revoked.
        if found:
            self._write(list(entries.values()))
        return found

    def _signed(
        self, name: str, generation: int, usage: Usage, key: ec.EllipticCurvePublicKey, addresses: Sequence[str]
    ) -> tuple[Entry, x509.Certificate]:
        now = self._clock()
        made = certificates.leaf(
            self._root(),
            certificates.subject(name, generation),
            key,
            usage=usage,
            addresses=addresses,
            now=now,
            expires=now + LIFE,
        )
        entry = Entry(
            name=name,
            usage=usage,
            generation=generation,
            addresses=tuple(addresses),
            serial=f"{made.serial_number:x}",
            expires=made.not_valid_after_utc,
        )
        return entry, made

    def renew(self, name: str) -> Entry:
        """Another key and certificate for the same generation."""
        with self.held():
            found = self._known(name)
            if found.revoked is not None:
                msg = f"{name} is revoked and cannot be renewed; `certificates issue {name}` lets it in again"
                raise AuthorityError(msg)
            return self.issue(name, found.usage, found.addresses)

    def _root(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Certificate and key of the root, made the first time; called under the lock."""
        key_file = self.folder / "ca.key"
        if not self.root_file.exists():
            key = p256.new_key()
            # The key first: a root without its key could sign nothing.
            files.replace_durably(key_file, p256.key_pem(key), mode=files.OWNERS)
            made = certificates.root(self._title, key, self._clock())
            files.replace_durably(self.root_file, certificates.pem(made), mode=0o644)
        found = x509.load_pem_x509_certificate(self.root_file.read_bytes())
        return found, p256.read_key(key_file.read_bytes())
