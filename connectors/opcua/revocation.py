"""Revocation lists (CRL) of authorities that are trusted: whether a certificate is revoked. Pure.

A list counts for the certificates of its issuer. It has to be signed by an authority that is trusted; one that is not speaks against every
certificate of its issuer, because nobody knows what the true list says. A list that is older than its next update still counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

_PEM = b"-----BEGIN"


def parse(data: bytes) -> x509.CertificateRevocationList:
    """A list in PEM or DER; raises ValueError."""
    return x509.load_pem_x509_crl(data) if data.startswith(_PEM) else x509.load_der_x509_crl(data)


def problem(
    certificate: x509.Certificate,
    lists: Sequence[x509.CertificateRevocationList],
    authorities: Sequence[x509.Certificate],
) -> str:
    """What the lists have against a certificate; empty when they have nothing."""
    for one in lists:
        if one.issuer != certificate.issuer:
            continue
        if not any(_signed_by(one, authority) for authority in authorities):
            return f"the revocation list of {_name(one)} is not signed by an authority that is trusted; add its certificate"
        entry = one.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None:
            return f"it was revoked by {_name(one)} on {entry.revocation_date_utc:%Y-%m-%d}"
    return ""


def outdated(one: x509.CertificateRevocationList, now: datetime) -> str:
    """That a list should have been replaced, for people; empty when it need not."""
    until = one.next_update_utc
    if until is None or now <= until:
        return ""
    return f"the revocation list of {_name(one)} should have been replaced on {until:%Y-%m-%d}"


def describe(one: x509.CertificateRevocationList) -> str:
    """Issuer, count and dates in one line."""
    until = "no date" if one.next_update_utc is None else f"{one.next_update_utc:%Y-%m-%d}"
    return f"{_name(one)}, {len(one)} revoked, of {one.last_update_utc:%Y-%m-%d}, next by {until}"


def _name(one: x509.CertificateRevocationList) -> str:
    return one.issuer.rfc4514_string()[:200]


def _signed_by(one: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if authority.subject != one.issuer:
        return False
    try:
        return one.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # another kind of key is a TypeError
    except TypeError:
        return False
