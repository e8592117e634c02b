"""`./millrace replay-rejected --reason REASON …`: sends refused samples back, corrected.

Enters: arguments, `platform.toml`. Leaves: frames, rows of `replays`, a report on standard output. Exit status: 0 done,
1 nothing could be done, 3 sent but not all of it arrived in time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from base import ids, logs
from base.errors import ConfigError, InvalidRequestError, MillraceError, SchemaError, cause_of
from base.moments import moment
from base.settings import PlatformSettings, load, local_config
from base.signing_key import Signer
from connectors.kafka import client as kafka
from connectors.postgres.database import connect, unavailable
from historian.replay import report as text
from historian.replay.correction import correction
from historian.replay.run import replay, wait
from historian.replay.selection import REASONS, Selection, check_reasons, resolve_tags
from schemas import frame
from schemas.frame import Stream
from schemas.frame_signatures import MAX_BATCH, tails
from schemas.frame_signatures import signed as with_tail

_ABOUT = """\
Samples that were refused are kept. Once what was wrong is put right, this sends them again on the REPLAY stream of their
lane, corrected: they are validated like any others, stored, and counted as stored instead of rejected. What is refused again
stays rejected, as a refusal of its own that can be replayed in turn. Running the same command twice, or after it was
killed, stores nothing twice."""
_EXAMPLES = """\
examples:
  replay-rejected --reason OUT_OF_RANGE --tag ram_force --scale 0.001 --dry-run    the sensor sent N instead of kN
  replay-rejected --reason OUT_OF_RANGE --device press-01 --as-is                  the limits in the registry were too narrow
  replay-rejected --reason FUTURE --device packer-01 --shift-seconds -3600         its clock was an hour ahead
  replay-rejected --reason UNKNOWN_TAG --since 2h --as-is                          the tags are defined now
  replay-rejected --reason UNKNOWN_SCHEMA --as-is                                  this version knows the schema"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace replay-rejected",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = made.add_argument_group("what to replay")
    what.add_argument(
        "--reason",
        action="append",
        required=True,
        metavar="REASON",
        help=f"why it was refused; may be given several times: {', '.join(REASONS)}",
    )
    what.add_argument("--since", metavar="TIME", help="refused at or after this: ISO 8601, or 2h for two hours ago")
    what.add_argument("--until", metavar="TIME", help="refused before this")
    what.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="PATH",
        help="only tags of this device or area: its path, or the end of it",
    )
    what.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="PATH",
        help="only this tag: its path, the end of it, or its number",
    )
    how = made.add_argument_group("how to correct it")
    how.add_argument("--scale", type=float, metavar="FACTOR", help="multiply values by this")
    how.add_argument("--offset", type=float, metavar="X", help="then add this, in the tag's unit")
    how.add_argument("--shift-seconds", type=float, metavar="S", help="add this to the source times")
    how.add_argument("--as-is", action="store_true", help="change nothing: the registry or the configuration was wrong")
    made.add_argument("--dry-run", action="store_true", help="show counts and examples, send nothing")
    made.add_argument(
        "--rate",
        type=float,
        default=200.0,
        metavar="N",
        help="frames a second at most, so that live data stays fresh (default 200)",
    )
    made.add_argument(
        "--wait-s",
        type=float,
        default=60.0,
        metavar="S",
        help="wait this long for the samples to arrive; 0: do not (default 60)",
    )
    made.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="platform.toml (default: the local stack's)"
    )
    return made


def pacer(
    rate: float, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> Callable[[int], None]:
    """Called with the number of frames just sent, waits so that there are no more than `rate` of them a second."""
    due_s = clock()

    def pace(frames: int) -> None:
        nonlocal due_s
        due_s = max(due_s, clock() - 1.0) + frames / rate
        if (left_s := due_s - clock()) > 0:
            sleep(left_s)

    return pace


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parser().parse_args(arguments)
    logs.configure("replay")
    try:
        return _run(args)
    except psycopg.Error as error:
        sys.stderr.write(f"replay-rejected: {unavailable(error)}\n")
    except MillraceError as error:
        sys.stderr.write(f"replay-rejected: {error}\n")
    return 1


def _run(args: argparse.Namespace) -> int:
    corrected = correction(scale=args.scale, offset=args.offset, shift_s=args.shift_seconds, as_is=args.as_is)
    if args.rate <= 0:
        msg = "--rate must be more than 0"
        raise InvalidRequestError(msg)
    now = datetime.fromtimestamp(ids.now_us() / 1e6, UTC)
    reasons = check_reasons(args.reason)
    since, until = (None if given is None else moment(given, now) for given in (args.since, args.until))
    platform = load(PlatformSettings, args.config or local_config("platform.toml"))
    dsn = platform.postgres.dsn
    with (
        connect(dsn, application="replay", autocommit=True) as writing,
        connect(dsn, application="replay", autocommit=True) as reading,
    ):
        chosen = Selection(
            reasons=reasons, tag_ids=resolve_tags(writing, args.device, args.tag), since=since, until=until
        )
        producer, signer = kafka.producer(platform.kafka), _signer(platform.signing_key)
        report = replay(
            reading,
            writing,
            chosen,
            corrected,
            lambda topic, records: _send(producer, topic, signed(records, signer)),
            dry_run=args.dry_run,
            pace=pacer(args.rate),
        )
        _say(text.found(report, _paths(writing)))
        if args.dry_run:
            _say([text.would_send(report)])
            return 0
        outcome = wait(writing, report, timeout_s=args.wait_s) if args.wait_s > 0 and report.sent else None
    _say(text.done(report, outcome))
    return 3 if outcome is not None and outcome.missing_frames else 0


def _send(producer: Any, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    kafka.send(producer, topic, records)


def _signer(file: str) -> Signer | None:
    try:
        return Signer.of(Path(file).read_bytes()) if file else None
    except (OSError, ValueError) as error:
        msg = f"signing_key: {file} has no key to sign with: {cause_of(error)}"
        raise ConfigError(msg) from error


def signed(records: Sequence[tuple[bytes, bytes]], signer: Signer | None) -> list[tuple[bytes, bytes]]:
    """Frames of the stream REPLAY with a signature. Records that were refused whole stay as they came, with the signature they have."""
    found = list(records)
    if signer is None:
        return found
    ours = [at for at, (_, value) in enumerate(found) if _is_replay(value)]
    for start in range(0, len(ours), MAX_BATCH):
        places = ours[start : start + MAX_BATCH]
        for at, tail in zip(places, tails([found[at][1] for at in places], signer), strict=True):
            found[at] = (found[at][0], with_tail(found[at][1], tail))
    return found


def _is_replay(value: bytes) -> bool:
    try:
        made = frame.decode(value)
    except SchemaError:
        return False
    return made.stream is Stream.REPLAY and made.signature is None and made.key_id is None


def _paths(connection: psycopg.Connection[Any]) -> dict[int, tuple[str, str]]:
    rows = connection.execute("SELECT tag_id, path, unit FROM tag_definition").fetchall()
    return {tag_id: (path, unit) for tag_id, path, unit in rows}


def _say(lines: Sequence[str] | Any) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
