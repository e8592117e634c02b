"""`millrace-verify`: checks an audit log of Millrace and proofs of it, offline.

Exit status: 0 everything holds; 1 it does not: the log, the checkpoint or the proof was changed or forged; 2 it could not be checked: there
is no such file, or no key.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from millrace_verify import log, proof
from millrace_verify.merkle import ProofError, check_consistency, check_inclusion, leaf_hash
from millrace_verify.note import Key, KeyTextError, NoteError, open_note

HOLDS, BROKEN, UNKNOWN = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--key", action="append", default=[], metavar="KEY", help="public key that you trust (repeat)")
    common.add_argument("--keys", type=Path, metavar="FILE", help="file with one key a line; # begins a comment")
    common.add_argument("--json", action="store_true", help="the result as a JSON object")
    made = argparse.ArgumentParser(
        prog="millrace-verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    whole = verbs.add_parser("log", parents=[common], help="check every entry of a log against its signed checkpoint")
    whole.add_argument("folder", type=Path, metavar="FOLDER", help="of the log: it holds `checkpoint` and `tile`")
    whole.add_argument(
        "--copies",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="older checkpoints that were kept elsewhere: a folder, a .jsonl file, or a checkpoint (repeat)",
    )
    one = verbs.add_parser("inclusion", parents=[common], help="check that an entry is in the log of a checkpoint")
    one.add_argument("proof", type=Path, metavar="PROOF", help="as `./millrace audit prove` writes it")
    one.add_argument("entry", type=Path, metavar="ENTRY", help="the entry, byte for byte")
    two = verbs.add_parser("consistency", parents=[common], help="check that one log is the beginning of another")
    two.add_argument("old", type=Path, metavar="OLD", help="the older checkpoint")
    two.add_argument("new", type=Path, metavar="NEW", help="the newer one")
    two.add_argument("proof", type=Path, metavar="PROOF", help="as `./millrace audit prove --since` writes it")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    checks: dict[str, Callable[[argparse.Namespace, list[Key]], str]] = {
        "log": _log,
        "inclusion": _inclusion,
        "consistency": _consistency,
    }
    try:
        said, status = checks[options.verb](options, _keys(options)), HOLDS
    except (log.TamperedError, NoteError, ProofError) as error:
        said, status = str(error), BROKEN
    except (OSError, UnicodeDecodeError, KeyTextError) as error:
        said, status = str(error), UNKNOWN
    word = {HOLDS: "holds", BROKEN: "BROKEN", UNKNOWN: "not checked"}[status]
    if options.json:
        sys.stdout.write(json.dumps({"result": word, "detail": said}) + "\n")
    else:
        (sys.stdout if status == HOLDS else sys.stderr).write(f"{word}: {said}\n")
    return status


def _keys(options: argparse.Namespace) -> list[Key]:
    texts = list(options.key)
    if options.keys is not None:
        lines = options.keys.read_text().splitlines()
        texts += [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not texts:
        msg = "no key: give --key or --keys. Have it from where you trust it, not from the log's own folder"
        raise KeyTextError(msg)
    return [Key.parse(text) for text in texts]


def _log(options: argparse.Namespace, keys: list[Key]) -> str:
    def progress(done: int, of: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {of} entries" + ("\n" if done == of else ""))

    found = log.check(options.folder, keys, options.copies, progress)
    text = (
        f"{found.checkpoint.origin}, {found.checkpoint.size} entries, signed by {', '.join(found.checkpoint.signed_by)}"
    )
    text += f"; continues {found.copies} checkpoints that were kept elsewhere" if options.copies else ""
    text += f"; {found.torn} lines of the copies were not written to their end" if found.torn else ""
    return text if options.copies else f"{text}; without --copies nobody can tell whether it is the log of yesterday"


def _inclusion(options: argparse.Namespace, keys: list[Key]) -> str:
    index, hashes, note = proof.inclusion(options.proof.read_text())
    checkpoint = open_note(note, keys)
    check_inclusion(leaf_hash(options.entry.read_bytes()), index, checkpoint.size, hashes, checkpoint.root)
    return f"entry {index} is in {checkpoint.origin}, {checkpoint.size} entries, signed by {', '.join(checkpoint.signed_by)}"


def _consistency(options: argparse.Namespace, keys: list[Key]) -> str:
    old, new = (open_note(path.read_text(), keys) for path in (options.old, options.new))
    if old.origin != new.origin:
        msg = f"the checkpoints are of two logs, {old.origin} and {new.origin}"
        raise NoteError(msg)
    size, hashes = proof.consistency(options.proof.read_text())
    if size != old.size:
        msg = f"the proof is for a log of {size} entries, the older checkpoint is of {old.size}"
        raise ProofError(msg)
    check_consistency(old.size, new.size, old.root, new.root, hashes)
    return f"{new.origin}: the log of {new.size} entries begins with that of {old.size}"


if __name__ == "__main__":
    sys.exit(main())
