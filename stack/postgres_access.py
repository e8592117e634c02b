"""How the stack's PostgreSQL is reached: over TCP by TLS 1.3 and a password alone, and over its unix socket by who may enter its folder.

Leaves: rows of the server's settings, its `pg_hba.conf`, its key and certificate where its user may read them, and what clients add to a
connection string. There is no setting that leaves TLS out.
"""

from __future__ import annotations

import re
from pathlib import Path

from base import files
from stack import server_files

_CERTIFICATE = "server.pem"
HBA = """# Rendered by `python -m stack`; edits are overwritten.
# The folder of the socket is for the server's user, and the superuser comes no other way.
local    all          all               trust
local    replication  all               trust
hostssl  all          postgres     all  reject
hostssl  all          all          all  scram-sha-256
"""


def rows(folder: Path) -> dict[str, str]:
    """Settings of a server whose key and certificate are in that folder."""
    return {
        "ssl": "on",
        # Key and certificate are in one file: they change together.
        "ssl_cert_file": f"'{folder / _CERTIFICATE}'",
        "ssl_key_file": f"'{folder / _CERTIFICATE}'",
        "ssl_min_protocol_version": "'TLSv1.3'",
        "password_encryption": "'scram-sha-256'",
    }


def client(root: Path) -> dict[str, str]:
    """What a connection string needs so that the server proves to be the one that is meant."""
    return {"sslmode": "verify-full", "sslrootcert": str(root)}


def write_pass_file(path: Path, *, host: str, port: int, role: str, password: str) -> None:
    """Write what libpq reads a role's password from, for every database there; untouched when it is the same.

    In the environment or the arguments of a program others of the machine, and all that it starts, would read it.
    """
    fields = (host, str(port), "*", role, password)
    data = (":".join(re.sub(r"[\\:]", r"\\\g<0>", field) for field in fields) + "\n").encode()
    if path.exists() and path.read_bytes() == data:
        path.chmod(files.OWNERS)  # libpq passes over one that others may read
    else:
        files.replace(path, data, mode=files.OWNERS)


def installed(folder: Path) -> Path:
    """Where the server reads its key and certificate."""
    return folder / _CERTIFICATE


def install(issued: Path, folder: Path, user: str | None) -> bool:
    """Put a copy of the key and certificate where the server's user reads it, unless it is there; whether it was another.

    The server takes it at the next reload. It is at no time there for somebody else, or unreadable for the server.
    """
    server_files.give_folder(folder, user)
    return server_files.write(installed(folder), issued.read_bytes(), user)


def write_settings(directory: Path, text: str, user: str | None) -> None:
    """Give a cluster its configuration, who may come how, and the folder of its socket."""
    server_files.give_folder(directory / "socket", user)
    server_files.write(directory / "millrace.conf", text.encode(), user)
    server_files.write(directory / "pg_hba.conf", HBA.encode(), user)
    main, include = directory / "postgresql.conf", b"include = 'millrace.conf'"
    before = server_files.read(main) or b""
    if include not in before:
        server_files.write(main, before + b"\n" + include + b"\n", user)
