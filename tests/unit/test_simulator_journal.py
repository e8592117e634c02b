"""The journal: exact bits, every sample once, totals that agree with the contract's checksum."""

from __future__ import annotations

import math
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from schemas import quality
from schemas.checksum import checksum
from simulator.fault_effects import BEYOND_F8
from simulator.fault_kinds import FaultKind, FaultRequest
from simulator.journal import Journal, JournalError
from simulator.journal_reader import JournalReader, Totals
from simulator.simulation import Sample, Simulation
from tests.unit.simulated_plant import START_US, devices, tag_of

DEVICES = devices()
TAGS = [tag for device in DEVICES for tag in device.tags]
IDS = {tag.path: 100 + tag.index for tag in TAGS}
FORCE, COUNT = tag_of(DEVICES[0], "force"), tag_of(DEVICES[0], "cycle_count")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "simulator" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path, DEVICES, interval_s=0.01)
    yield journal
    journal.close()


def sample(time_us: int, value: float | int | bool | None, code: int = quality.GOOD) -> Sample:
    return Sample(COUNT if isinstance(value, int) else FORCE, time_us, value, code, "")


def test_bits_survive(journal: Journal, path: Path) -> None:
    odd_nan = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_0BAD))[0]
    values = [1.5, 0.1, -0.0, 3.0, math.inf, -math.inf, math.nan, odd_nan, 5e-324, -1e308]
    for i, value in enumerate(values):
        journal.record(sample(START_US + i, value), sent=True)
    journal.flush()
    with JournalReader(path) as reader:
        columns = reader.emitted(IDS)
    assert columns.value.tobytes() == np.array(values).tobytes()
    assert columns.time_us.tolist() == [START_US + i for i in range(len(values))]
    assert columns.seq.tolist() == list(range(1, len(values) + 1))
    real = [row[0] for row in sqlite3.connect(path).execute("SELECT value FROM emitted ORDER BY seq")]
    assert real[:2] == [1.5, 0.1]
    assert real[6] is None


def test_what_was_done_to_a_machine_outlives_a_kill(path: Path) -> None:
    """Another process reads it while the writer still runs and has flushed nothing."""
    journal = Journal(path, DEVICES, interval_s=3600)
    journal.record(sample(START_US, 1.5), sent=True)
    journal.actuated(START_US, FORCE, 21.0, "opcua")
    read = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT device, tag, value FROM actuated').fetchall())"
    seen = subprocess.run([sys.executable, "-c", read, path], capture_output=True, text=True, check=True).stdout
    with ThreadPoolExecutor(1) as other:  # the service closes it from another thread
        other.submit(journal.close).result()
    assert seen.strip() == str([(FORCE.device, "force", 21.0)])


def test_totals_are_those_of_the_contract(journal: Journal, path: Path) -> None:
    plant = Simulation(DEVICES, seed=1, start_us=START_US)
    emitted = [s for step in plant.advance(START_US + 5_000_000) for s in step.samples]
    for one in emitted:
        journal.record(one, sent=True)
    journal.flush()
    with JournalReader(path) as reader:
        by_tag = reader.by_tag(IDS)
        lanes = {tag.path: f"gw/{tag.index % 2}" for tag in TAGS}
        by_lane = reader.by_lane(IDS, lanes)
        assert reader.last_seq() == len(emitted)
    for tag in TAGS:
        mine = [s for s in emitted if s.tag is tag]
        expected = checksum(
            np.full(len(mine), IDS[tag.path], np.int32),
            np.array([s.time_us for s in mine], np.int64),
            np.array([s.value for s in mine], np.float64),
            np.array([s.quality for s in mine], np.uint16),
        )
        assert by_tag.get(IDS[tag.path], Totals()) == Totals(samples=len(mine), checksum=expected)
    assert sum(t.samples for t in by_lane.values()) == len(emitted)
    total = by_lane["gw/0"] + by_lane["gw/1"]
    assert total.checksum == sum(t.checksum for t in by_tag.values()) % 2**64


def test_only_what_could_be_seen_counts(journal: Journal, path: Path) -> None:
    journal.record(sample(1, 1.0), sent=False)
    unseen = journal.record(sample(2, 2.0), sent=False)
    journal.record(sample(3, 3.0), sent=True)
    journal.record(sample(4, BEYOND_F8), sent=True)
    journal.record(sample(5, None, quality.BAD_SENSOR_FAILURE), sent=True)
    journal.mark_sent(unseen)
    journal.flush()
    with JournalReader(path) as reader:
        columns = reader.emitted(IDS)
        assert columns.time_us.tolist() == [2, 3, 5]
        assert columns.quality.tolist() == [0, 0, quality.BAD_SENSOR_FAILURE]
        assert math.isnan(columns.value[2])
        assert reader.emitted(IDS, sent=False).time_us.tolist() == [1, 2, 3, 4, 5]
        assert reader.emitted(IDS, after_seq=2, up_to_seq=3).time_us.tolist() == [3]
        assert reader.unknown({FORCE.path: 1}) == {COUNT.path: 1}
    rows = sqlite3.connect(path).execute("SELECT sent, is_null, inexact FROM emitted ORDER BY seq").fetchall()
    assert rows == [(0, 0, 0), (1, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0)]


def test_reopened_it_goes_on(path: Path) -> None:
    first = Journal(path, DEVICES)
    first.record(sample(1, 1.0), sent=True)
    first.set_meta("bdseq/north", "7")
    first.set_machines({"north.press-01": {"state": 6}})
    first.close()
    again = Journal(path, DEVICES[:1])
    assert again.meta("bdseq/north") == "7"
    assert again.meta("bdseq/south") is None
    assert again.machines() == {"north.press-01": {"state": 6}}
    assert again.record(sample(2, 2.0), sent=True) == 2
    again.close()
    with JournalReader(path) as reader:
        assert reader.by_tag(IDS)[IDS[FORCE.path]].samples == 2


def test_actions_and_faults_are_kept(journal: Journal, path: Path) -> None:
    plant = Simulation(DEVICES, seed=1, start_us=START_US)
    fault = plant.faults.add(FaultRequest(device="north.press-01", tag="force", kind=FaultKind.NAN), START_US)
    journal.actuated(5, tag_of(DEVICES[0], "speed_setpoint"), 30, "opcua")
    journal.not_actuated(6, FORCE, 1.0, "sparkplug", "not writable")
    journal.fault(fault, "added", START_US)
    journal.flush()
    db = sqlite3.connect(path)
    actuated = db.execute("SELECT time_us, device, tag, value, via FROM actuated").fetchall()
    assert actuated == [(5, "north.press-01", "speed_setpoint", 30.0, "opcua")]
    assert db.execute("SELECT tag, reason FROM not_actuated").fetchall() == [("force", "not writable")]
    assert db.execute("SELECT fault_id, action, kind FROM faults").fetchall() == [(1, "added", "nan")]


def test_is_bounded_and_says_what_it_dropped(path: Path) -> None:
    journal = Journal(path, DEVICES, keep=100)
    for i in range(1000):
        journal.record(sample(i, float(i)), sent=True)
        if i % 50 == 0:
            journal.flush()
    journal.close()
    with JournalReader(path) as reader:
        kept = reader.emitted(IDS).time_us
        assert 100 <= len(kept) <= 160
        assert kept.tolist() == list(range(1000 - len(kept), 1000))
        assert reader.trimmed() == 1000 - len(kept)


def test_failure_to_write_is_not_silent(journal: Journal, path: Path) -> None:
    journal.flush()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("DROP VIEW emitted")
    blocker.execute("ALTER TABLE samples RENAME TO lost")
    blocker.close()
    journal.record(sample(1, 1.0), sent=True)
    with pytest.raises(JournalError, match="cannot be written"):
        journal.flush()
    with pytest.raises(JournalError):
        journal.check()
    with pytest.raises(JournalError):
        journal.close()
    journal.close = lambda: None  # type: ignore[method-assign]  # the fixture closes again


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("not a database, but long enough to look like one" * 100)
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(path, DEVICES)
