"""Data at rest at a gateway: nothing can be read without its key, keys change while it runs, and what was plain before is read."""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from base import key_ring, settings
from base.errors import ConfigError
from base.key_ring import DamagedIdError, Key, MissingKeyError
from base.sealed import DamagedError, Opener, Sealer
from edge import check, segment_header
from edge.at_rest import PLAIN, AtRest, AtRestSettings, prepare, uses
from edge.command import main
from edge.command_journal import CommandJournal
from edge.config import GatewayConfig
from edge.recovery import BufferFailedError
from edge.segment import Segment
from edge.segment_store import BufferSettings
from schemas.commands import CommandControl, CommandRequest, CommandState, ControlAction, Effect, ParameterOutcome
from schemas.frame import Stream
from tests.state import gateway as stored_gateway
from tests.state import stored
from tests.state.gateway import _message, resume_journal
from tests.state.outcome import assert_same
from tests.unit.kept import KeptKeys, at_rest
from tests.unit.test_buffer import Disk, Harness, frames

pytestmark = pytest.mark.unit

PLANTED = b"a telling text that is nobody else's"


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def key_ids(folder: Path) -> list[str]:
    found = [segment_header.parse(path.read_bytes()) for path in sorted(folder.glob("segment-*.log"))]
    return [one.key_id for one in found if one is not None]


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-EDGE-DISK")
def test_the_first_start_makes_a_file_of_keys_for_its_owner_alone(tmp_path: Path) -> None:
    made = prepare(AtRestSettings(), tmp_path)
    path = tmp_path / "at-rest.keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert prepare(AtRestSettings(), tmp_path).newest() == made.newest()
    assert made.newest() is not None
    secret = key_ring.read(path)[0].secret
    assert secret.hex() not in repr(made.newest())
    assert str(secret) not in repr(made.newest())


def test_a_named_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(MissingKeyError, match="cannot be read"):
        prepare(AtRestSettings(keys=f"file:{tmp_path}/mounted/keys"), tmp_path)


def test_a_damaged_file_of_keys_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    key_ring.add(path)
    text = path.read_text()
    last = text.rstrip()[-3]
    path.write_text(text.rstrip()[:-3] + ("B" if last != "B" else "C") + text.rstrip()[-2:] + "\n")
    with pytest.raises(ConfigError, match="line 3 is no key"):
        key_ring.open_keys(f"file:{path}").newest()


@pytest.mark.parametrize("reference", ["file:", "vault:x", "the key itself"])
def test_other_references_are_refused_unseen(reference: str) -> None:
    with pytest.raises(ConfigError, match="the reference is none of file:") as raised:
        AtRestSettings(keys=reference)
    assert "the key itself" not in str(raised.value)


def test_keys_that_were_read_are_used_on_while_their_file_is_away(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first = key_ring.add(path)
    keys = key_ring.open_keys(f"file:{path}")
    assert keys.newest() == first
    path.rename(tmp_path / "away")
    assert (keys.newest(), keys.key(first.id)) == (first, first)
    assert "cannot be read" in keys.problem
    (tmp_path / "away").rename(path)
    second = key_ring.add(path)
    assert (keys.newest(), keys.key(first.id), keys.problem) == (second, first, "")


def test_an_older_copy_of_the_file_of_keys_is_not_gone_by(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first = key_ring.add(path)
    older = path.read_bytes()
    keys = key_ring.open_keys(f"file:{path}")
    second = key_ring.add(path)
    newer = path.read_bytes()
    assert keys.newest() == second
    path.unlink()
    path.write_bytes(older)
    assert keys.newest() == second
    assert second.id in keys.problem
    path.unlink()
    path.write_bytes(newer)
    assert (keys.newest(), keys.problem) == (second, "")
    third = key_ring.add(path)
    key_ring.retire(path, second.id)  # behind a newer one
    assert (keys.newest(), keys.key(first.id), keys.problem) == (third, first, "")


# --- sealed values ----------------------------------------------------------------------------------------------------


@pytest.mark.security("V11.3.3", "V11.3.2")
def test_a_sealed_value_opens_in_its_own_place_alone() -> None:
    keys = KeptKeys()
    sealer, opener = Sealer(keys.newest(), b"p"), Opener(keys.key, b"p")
    value = sealer.seal(PLANTED, b"here")
    assert PLANTED not in value
    assert opener.open(value, b"here") == PLANTED
    for wrong, about in ((value, b"there"), (value[:-1], b"here"), (b"plain", b"here")):
        with pytest.raises(DamagedError):
            opener.open(wrong, about)
    for bit in range(12 * 8, len(value) * 8):
        turned = bytearray(value)
        turned[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedError):
            opener.open(bytes(turned), b"here")
    with pytest.raises(DamagedError):
        Opener(keys.key, b"another purpose").open(value, b"here")


def test_no_two_sealed_values_share_a_nonce_and_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = KeptKeys().newest()
    monkeypatch.setattr("base.sealed._LAST_COUNT", 3)
    heads = [Sealer(key, b"p").seal(b"x", b"")[:32] for _ in range(5)]
    one = Sealer(key, b"p")
    heads += [one.seal(b"x", b"")[:32] for _ in range(20)]
    assert len(set(heads)) == 25


# --- the buffer -------------------------------------------------------------------------------------------------------


@pytest.mark.security("T-EDGE-DISK", "SR 4.1", "SR 4.3", "V11.3.2", "V14.2.4")
def test_nothing_of_the_buffer_can_be_read_on_the_disk(tmp_path: Path) -> None:
    with Harness(tmp_path / "buffer", note=lambda: PLANTED) as harness:
        harness.append(300)
        harness.reopen()
        assert len(frames(harness.pending())) == 300
    data = everything(tmp_path)
    assert all(
        planted not in data for planted in (PLANTED, PLANTED.hex().encode(), b"0/LIVE/", b"counters", b"gateway")
    )


def nonces(folder: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """File, nonce and what it enciphered, of each record that stands in a folder, torn ones too."""
    for path in sorted(folder.glob("segment-*.log")):
        data = path.read_bytes()
        header = segment_header.parse(data)
        assert header is not None
        at = len(header.data)
        while int.from_bytes(data[at + 4 : at + 8], "little"):
            behind = at + 20 + int.from_bytes(data[at + 4 : at + 8], "little")
            yield header.salt, data[at + 8 : at + 20], data[at + 20 : behind]
            at = behind


@pytest.mark.security("SR 4.3")
def test_no_nonce_serves_twice_whatever_a_crash_left_behind(tmp_path: Path) -> None:
    seen: dict[tuple[bytes, bytes], bytes] = {}
    with Harness(tmp_path, settings=BufferSettings(segment_bytes=1 << 16, max_bytes=1 << 20)) as harness:
        for cut in range(1, 40):
            harness.append(3, size=50 + cut)
            for salt, nonce, enciphered in nonces(tmp_path):
                assert seen.setdefault((salt, nonce), enciphered) == enciphered
            # The last record is torn, or was never there: the next process writes another one over it.
            path = sorted(tmp_path.glob("segment-*.log"))[-1]
            data = bytearray(path.read_bytes())
            end = harness.buffer._active.used
            data[end - cut * 4 : end] = bytes(cut * 4)
            path.write_bytes(data)
            harness.reopen()
    assert len(seen) > 150


@pytest.mark.security("T-EDGE-BUFFER", "SR 3.4", "V11.3.3")
def test_records_do_not_hold_in_another_place_of_their_file(tmp_path: Path) -> None:
    with Harness(tmp_path) as harness:
        harness.append(10)
        segment = harness.buffer._active
        places = [(at, behind) for at, behind, _ in segment.records(end=segment.used)]
        data = bytearray(segment.path.read_bytes())
        (a, a_end), (b, b_end) = places[3], places[4]
        assert a_end - a == b_end - b
        data[a:a_end], data[b:b_end] = data[b:b_end], data[a:a_end]
        segment.path.write_bytes(data)
        assert [at for at, _, _ in segment.records(end=segment.used)] == [at for at, _ in places if at not in (a, b)]


@pytest.mark.parametrize("where", ["zeroed", "one bit, and the copy", "another file's"])
def test_a_header_that_is_destroyed_costs_nothing(tmp_path: Path, where: str) -> None:
    with Harness(tmp_path) as harness:
        everything_appended = [entry for _ in range(6) for entry in harness.append(10, size=300)]
        harness.buffer._store.close()
        first, second, *_ = sorted(tmp_path.glob("segment-*.log"))
        data, size = bytearray(first.read_bytes()), segment_header.SEALED.size
        if where == "zeroed":
            data[:size] = bytes(size)
        elif where == "another file's":
            data[:20] = b"x" * 20
        else:
            data[50] ^= 4
            data[-size:] = bytes(size)
        first.write_bytes(data)
        harness.buffer = harness.open()
        assert frames(harness.pending()) == everything_appended
        assert harness.gaps() == []
        assert Segment.open(first, key_of=harness.options["keys"].key) is not None  # type: ignore[attr-defined]
        assert first.read_bytes()[:size] == first.read_bytes()[-size:]
        assert second.exists()


@pytest.mark.security("SR 4.2", "SR 7.4")
def test_a_key_that_is_missing_is_named_and_costs_nothing(tmp_path: Path) -> None:
    keys = KeptKeys()
    with Harness(tmp_path, keys=at_rest(keys)) as harness:
        harness.append(20)
        lost = keys.newest()
        harness.buffer._store.close()
        before = everything(tmp_path)
        keys.kept = KeptKeys().kept
        with pytest.raises(BufferFailedError, match=f"segment-000000000000.log is encrypted: key {lost.id}"):
            harness.open()
        assert everything(tmp_path) == before
        keys.kept = [lost, *keys.kept]
        harness.buffer = harness.open()
        assert len(frames(harness.pending())) == 20


@pytest.mark.security("T-EDGE-DISK", "V11.2.2", "SR 4.3")
def test_a_key_changes_while_the_buffer_is_written(tmp_path: Path) -> None:
    keys = KeptKeys()
    with Harness(tmp_path, keys=at_rest(keys)) as harness:
        appended = harness.append(10)
        first = keys.newest()
        harness.stage()
        second = keys.rotate()
        appended += frames(harness.sync()) + frames(harness.append(10))
        assert key_ids(tmp_path) == [first.id, second.id]
        third = keys.rotate()
        harness.reopen()
        appended += frames(harness.append(1))
        assert key_ids(tmp_path) == [first.id, second.id, third.id]
        assert frames(harness.pending()) == appended
        harness.confirm(harness.pending())
        harness.sync()
        assert key_ids(tmp_path) == [third.id]
        keys.kept = [third]
        harness.reopen()
        assert harness.gaps() == []


def test_a_key_changes_at_once_also_where_no_segment_is_spare(tmp_path: Path) -> None:
    keys = KeptKeys()
    with Harness(tmp_path, keys=at_rest(keys)) as harness:
        appended = harness.append(10)
        (tmp_path / "spare.log").unlink()
        second = keys.rotate()
        appended += frames(harness.append(1))
        assert key_ids(tmp_path)[-1] == second.id
        assert (frames(harness.pending()), harness.gaps()) == (appended, [])


def test_a_header_with_a_damaged_key_id_is_made_again_from_its_copy(tmp_path: Path) -> None:
    """Of a missing key the start would end; this one is there."""
    keys = KeptKeys()
    with Harness(tmp_path, keys=at_rest(keys)) as harness:
        appended = harness.append(10)
        harness.buffer._store.close()
        (path,) = tmp_path.glob("segment-*.log")
        data = bytearray(path.read_bytes())
        header = segment_header.parse(bytes(data))
        assert header is not None
        turned = Key(f"{int(keys.newest().id, 16) ^ 0b1010:016x}", "", keys.newest().secret)
        other = segment_header.sealed(header.number, header.epoch, header.units, turned)
        data[: len(other.data)] = other.data
        path.write_bytes(data)
        harness.buffer = harness.open()
        assert (frames(harness.pending()), harness.gaps()) == (appended, [])
        assert path.read_bytes().startswith(header.data)


def test_two_gateways_do_not_share_a_file_of_keys(tmp_path: Path) -> None:
    """What one of them retires, the other may need."""
    path = tmp_path / "keys"
    key_ring.add(path)
    one, other = (AtRest(key_ring.open_keys(f"file:{path}"), encrypt=True) for _ in range(2))
    one.claim()
    with pytest.raises(ConfigError, match="in use by another gateway"):
        other.claim()
    # The file is another one after each change of its keys.
    made = key_ring.add(path)
    key = one.newest()
    assert key is not None
    assert key.id == made.id
    with pytest.raises(ConfigError, match="in use by another gateway"):
        other.claim()
    one.release()
    other.claim()
    other.release()


def test_an_id_is_damaged_where_it_is_nearly_one_that_is_there(tmp_path: Path) -> None:
    made = key_ring.add(tmp_path / "keys")
    keys = key_ring.open_keys(f"file:{tmp_path / 'keys'}")
    with pytest.raises(DamagedIdError, match="was damaged"):
        keys.key(f"{int(made.id, 16) ^ 1:016x}")
    with pytest.raises(MissingKeyError):
        keys.key(f"{int(made.id, 16) ^ 0xFFFF_FFFF:016x}")


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_buffer_that_was_plain_goes_on_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    found, tmp_path = next(one for one in stored.versions() if one.name == version), tmp_path / "found"
    stored.unpack(found / "buffer.tar.xz", tmp_path)
    expected = stored.read_expected(found, "buffer")["found"]
    # Bounds as a gateway has them: the one segment more is not one too many.
    monkeypatch.setattr(stored_gateway, "SEGMENTS", BufferSettings(segment_bytes=1 << 14, max_bytes=1 << 20))
    keys = at_rest()
    opened = stored_gateway.OpenBuffer(tmp_path, now_us=stored_gateway.START_US + 600_000_000, keys=keys)
    told = opened.told()
    assert_same(
        {key: told[key] for key in ("epoch", "seen", "pending")},
        {key: expected[key] for key in ("epoch", "seen", "pending")},
    )
    assert opened.buffer.plain_segments > 0
    opened.frame(Stream.LIVE)
    opened.buffer.sync()
    assert [bool(one) for one in key_ids(tmp_path)] == [False] * opened.buffer.plain_segments + [True]
    opened.confirm(opened.pending())
    opened.now_us += 2_000_000
    opened.buffer.sync()
    assert opened.buffer.plain_segments == 0
    opened.buffer.close()


def test_a_key_that_changes_on_a_full_disk_costs_no_sample(tmp_path: Path) -> None:
    keys = KeptKeys()
    with Harness(tmp_path, keys=at_rest(keys), allocate=Disk(2)) as harness:
        appended = harness.append(10)
        while harness.buffer._store.has_spare:
            appended += frames(harness.append(10))
        second = keys.rotate()
        appended += frames(harness.append(1))
        assert second.id not in key_ids(tmp_path)
        assert (frames(harness.pending()), harness.gaps()) == (appended, [])
        harness.confirm(harness.pending())
        harness.sync()
        harness.append(1)
        assert key_ids(tmp_path)[-1] == second.id
        assert harness.gaps() == []


def test_encryption_that_is_switched_off_reads_what_was_encrypted(tmp_path: Path) -> None:
    keys = KeptKeys()
    with Harness(tmp_path, keys=at_rest(keys)) as harness:
        appended = harness.append(10)
        harness.buffer._store.close()
        harness.options["keys"] = AtRest(keys, encrypt=False)
        harness.buffer = harness.open()
        appended += frames(harness.append(5))
        assert frames(harness.pending()) == appended
        assert [bool(one) for one in key_ids(tmp_path)] == [True, False]


# --- the journal ------------------------------------------------------------------------------------------------------


def journal(folder: Path, keys: AtRest) -> CommandJournal:
    return CommandJournal(
        folder / "commands.sqlite", clock=itertools.count(stored_gateway.START_US, 1_000).__next__, at_rest=keys
    )


def request(number: int) -> CommandRequest:
    made = _message(number, at_us=stored_gateway.START_US + 1_000_000)
    assert isinstance(made, CommandRequest)
    return dataclasses.replace(made, submitted_by=PLANTED.decode())


@pytest.mark.security("T-EDGE-DISK", "SR 4.1", "SR 4.3", "V11.3.2", "V14.2.4")
def test_nothing_that_people_or_machines_said_can_be_read_in_the_journal(tmp_path: Path) -> None:
    said = PLANTED.decode()
    keys = at_rest()
    opened = journal(tmp_path, keys)
    opened.receive([request(1), request(2)], [("t", 0, 2)], intend=())
    opened.receive(
        [
            CommandControl(
                command_id=UUID(int=9), device_id=1, action=ControlAction.CANCEL, by=said, reason="", time_us=1
            )
        ],
        [],
    )
    one = request(1).command_id
    assert opened.intend(one)
    opened.finish(
        one,
        CommandState.FAILED,
        said,
        (ParameterOutcome(name="speed", effect=Effect.APPLIED, readback=1.0, detail=said),),
    )
    assert PLANTED not in everything(tmp_path)
    opened.close()
    assert PLANTED not in everything(tmp_path)
    again = journal(tmp_path, keys)
    found = again.find(one)
    assert found is not None
    assert (found.detail, found.request.submitted_by, found.outcomes[0].detail) == (said, said, said)
    again.close()


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
@pytest.mark.parametrize("encrypted", [True, False])
def test_a_journal_that_was_plain_goes_on_and_nothing_plain_is_left(
    tmp_path: Path, version: str, *, encrypted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, tmp_path = next(one for one in stored.versions() if one.name == version), tmp_path / "found"
    stored.unpack(found / "journal.tar.xz", tmp_path)
    words = (b"written", b"speed")
    assert any(word in everything(tmp_path) for word in words)
    keys = at_rest() if encrypted else PLAIN
    monkeypatch.setattr(
        stored_gateway, "CommandJournal", lambda path, *, clock: CommandJournal(path, clock=clock, at_rest=keys)
    )
    # As a start of the gateway does it: it looks at what is there before the journal is opened.
    assert prepare(AtRestSettings(), tmp_path).sealing
    opened = CommandJournal(tmp_path / "commands.sqlite", clock=lambda: stored_gateway.START_US, at_rest=keys)
    assert all(word in everything(tmp_path) for word in words) is not encrypted
    opened.close()
    assert_same(resume_journal(tmp_path), stored.read_expected(found, "journal"))


def test_a_key_changes_while_the_journal_is_open(tmp_path: Path) -> None:
    keys = KeptKeys()
    opened = journal(tmp_path, at_rest(keys))
    opened.receive([request(1)], [])
    first = keys.newest()
    keys.rotate()
    opened.receive([request(2)], [])
    assert sorted(uses(tmp_path)) == sorted(one.id for one in keys.kept)
    while first.id in uses(tmp_path):
        opened.reseal(1)
    keys.kept.remove(first)
    opened.close()
    again = journal(tmp_path, at_rest(keys))
    assert [one.request.submitted_by for one in again.untold()] == [PLANTED.decode()] * 2
    again.close()


@pytest.mark.security("SR 3.4")
def test_a_damaged_row_is_never_carried_out_and_stops_nothing(tmp_path: Path) -> None:
    keys = at_rest()
    opened = journal(tmp_path, keys)
    opened.receive([request(n) for n in (1, 2, 3)], [])
    opened.close()
    damaged = str(request(2).command_id)
    with sqlite3.connect(tmp_path / "commands.sqlite") as db:
        (cell,) = db.execute("SELECT request FROM commands WHERE command_id = ?", (damaged,)).fetchone()
        turned = bytearray(cell)
        turned[-20] ^= 1
        db.execute("UPDATE commands SET request = ? WHERE command_id = ?", (bytes(turned), damaged))
    db.close()
    again = journal(tmp_path, keys)
    assert [one.request.command_id for one in again.recover()] == [request(n).command_id for n in (1, 3)]
    assert not again.intend(UUID(damaged))
    (received,) = again.receive([request(2)], [])
    assert (received.entry.state, received.ready) == (CommandState.UNKNOWN, False)
    assert "record of the command was damaged" in received.entry.detail
    assert UUID(damaged) in {one.request.command_id for one in again.untold()}
    again.close()


@pytest.mark.parametrize("column", ["request", "detail"])
@pytest.mark.parametrize("at", [0, 3, 4, 11, 12, 40, -1])
def test_a_turned_bit_of_any_cell_stops_no_start(tmp_path: Path, column: str, at: int) -> None:
    """Of its mark, of the id of its key, of its salt, of what is sealed."""
    keys = at_rest()
    opened = journal(tmp_path, keys)
    opened.receive([request(n) for n in (1, 2)], [])
    assert opened.intend(request(2).command_id)
    opened.finish(request(2).command_id, CommandState.FAILED, "the machine said no", ())
    opened.close()
    damaged = str(request(2).command_id)
    with sqlite3.connect(tmp_path / "commands.sqlite") as db:
        (cell,) = db.execute(f"SELECT {column} FROM commands WHERE command_id = ?", (damaged,)).fetchone()
        turned = bytearray(cell)
        turned[at] ^= 1
        db.execute(f"UPDATE commands SET {column} = ? WHERE command_id = ?", (bytes(turned), damaged))
    db.close()
    again = journal(tmp_path, keys)
    assert [one.request.command_id for one in again.recover()] == [request(1).command_id]
    (received,) = again.receive([request(2)], [])
    assert (received.entry.state, received.ready) == (CommandState.UNKNOWN, False)
    again.close()


# --- tools ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., int]:
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'gateway_id = "g"\nsite = "north"\nstate_dir = "{tmp_path}/state"\n[kafka]\nbootstrap_servers = "127.0.0.1:1"\n'
    )
    (tmp_path / "state").mkdir()
    return lambda *words: main(["key", *words, "--config", str(file)])


@pytest.mark.security("V11.2.2")
def test_keys_are_listed_rotated_and_retired(
    tmp_path: Path, installed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    keys = prepare(AtRestSettings(), state)
    with Harness(state / "buffer", keys=keys) as harness:
        opened = journal(state, keys)
        opened.receive([request(1)], [])
        appended = harness.append(5)
        first = keys.newest()
        assert first is not None
        assert installed("rotate") == 0
        assert "3 files are readable with key" in capsys.readouterr().out
        appended += frames(harness.append(5))
        second = keys.newest()
        assert second is not None
        assert second != first
        assert installed("retire", "--key", first.id) == 2
        assert "encrypts 2 files" in capsys.readouterr().err
        harness.confirm(appended)
        harness.sync()
        opened.reseal()
        opened.close()
        with pytest.raises(ConfigError, match="is the newest"):
            key_ring.retire(state / "at-rest.keys", second.id)
        assert installed("retire", "--key", first.id) == 0
        assert installed("list") == 0
        shown = capsys.readouterr().out
        assert first.id not in shown.split("files", 1)[1]
        assert second.id in shown
    assert [one.id for one in key_ring.read(state / "at-rest.keys")] == [second.id]


def test_a_file_of_keys_that_is_missing_is_not_made_anew(tmp_path: Path, installed: Callable[..., int]) -> None:
    state = tmp_path / "state"
    keys = prepare(AtRestSettings(), state)
    with Harness(state / "buffer", keys=keys) as harness:
        harness.append(1)
    key = keys.newest()
    assert key is not None
    (state / "at-rest.keys").unlink()
    with pytest.raises(MissingKeyError, match=f"key {key.id} .2 files."):
        prepare(AtRestSettings(), state)
    assert installed("rotate") == 2
    assert not (state / "at-rest.keys").exists()


def test_check_says_whether_data_at_rest_is_encrypted_and_can_be_read(
    tmp_path: Path, installed: Callable[..., int]
) -> None:
    config = settings.load(GatewayConfig, tmp_path / "gateway.toml")
    path = config.state_dir / "at-rest.keys"

    def looked(**at_rest: object) -> tuple[str, str]:
        row = check.data_at_rest(dataclasses.replace(config, at_rest=AtRestSettings(**at_rest)))  # type: ignore[arg-type]
        return row.grade.value, row.detail

    assert looked() == ("ok", f"will be encrypted; the first start makes its key in {path}")
    assert looked(encrypt=False)[0] == "warning"
    assert looked(keys=f"file:{tmp_path}/none") == (
        "FAILED",
        f"{tmp_path}/none does not exist: `gateway key rotate` makes it",
    )
    assert not path.exists()
    keys = prepare(AtRestSettings(), config.state_dir)
    with Harness(config.state_dir / "buffer", keys=keys) as harness:
        harness.append(1)
    first = keys.newest()
    assert first is not None
    grade, detail = looked()
    assert grade == "ok"
    assert detail.startswith(f"encrypted with key {first.id} of ")
    assert detail.endswith("key and data are on one file system: who has it has both")
    path.chmod(0o640)
    assert looked()[0] == "warning"
    assert f"chmod 600 {path}" in looked()[1]
    assert installed("rotate") == 0
    kept = path.read_text()
    path.write_text("".join(line for line in kept.splitlines(keepends=True) if first.id not in line))
    assert looked()[0] == "FAILED"
    assert f"key {first.id} of 2 files" in looked()[1]
    path.unlink()
    assert looked()[0] == "FAILED"
