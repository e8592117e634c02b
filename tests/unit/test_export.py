"""Export without a database: days, times as people give them, the manifest, what is read from COPY, progress."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConflictError, InvalidRequestError, PreconditionError
from base.moments import zone_of
from historian.export import forms, manifest
from historian.export.__main__ import teller
from historian.export.forms import Form
from historian.export.manifest import Day, Manifest
from historian.export.rows import _Reader
from historian.export.run import Progress, days_of
from historian.scopes import places_of


def test_days_are_those_of_the_time_zone_and_may_have_23_or_25_hours() -> None:
    begin, end = datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 26, 12, tzinfo=UTC)
    found = [(day.isoformat(), start, stop - start) for day, start, stop in days_of(begin, end, "Europe/Berlin")]
    assert found == [
        ("2026-10-24", begin, timedelta(hours=10)),
        ("2026-10-25", datetime(2026, 10, 24, 22, tzinfo=UTC), timedelta(hours=25)),
        ("2026-10-26", datetime(2026, 10, 25, 23, tzinfo=UTC), timedelta(hours=13)),
    ]


@given(
    begin_s=st.integers(1_700_000_000, 1_800_000_000),
    hours=st.floats(0.01, 500),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]),
)
def test_days_cover_the_range_without_gap_or_overlap(begin_s: int, hours: float, zone: str) -> None:
    begin = datetime.fromtimestamp(begin_s, UTC)
    end = begin + timedelta(hours=hours)
    days = list(days_of(begin, end, zone))
    assert (days[0][1], days[-1][2]) == (begin, end)
    assert all(one[2] == following[1] for one, following in pairwise(days))
    assert len({day for day, *_ in days}) == len(days)


def test_a_time_zone_that_is_none_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="'Berlin' is no time zone"):
        zone_of("Berlin")


def test_places_are_every_prefix_of_a_device() -> None:
    assert places_of(["acme/north/press-01"]) == {"acme", "acme/north", "acme/north/press-01"}


@given(parts=st.lists(st.binary(max_size=9), max_size=20), sizes=st.lists(st.integers(1, 12), min_size=1))
def test_parts_of_a_copy_read_as_a_file(parts: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(parts)
    reader = _Reader(iter(parts))
    found = []
    for size in sizes:
        found.append(reader.read(size))
        assert len(found[-1]) == min(size, len(whole) - sum(map(len, found[:-1])))
    assert b"".join(found) == whole[: sum(sizes)]


def begun(folder: Path, asked: dict[str, str], **days: Day) -> Manifest:
    made = Manifest(asked=asked, scope="acme", begin="", end="", days=dict(days))
    manifest.write(folder, made)
    return made


def test_a_manifest_is_read_back_for_the_same_request_only(tmp_path: Path) -> None:
    written = begun(tmp_path, {"kind": "samples"}, a=Day(file="", rows=0, bytes=0))
    assert manifest.read(tmp_path, {"kind": "samples"}) == written
    with pytest.raises(PreconditionError, match=r"holds another export \(kind: samples, not events\)"):
        manifest.read(tmp_path, {"kind": "events"})


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    assert manifest.read(tmp_path, {}) is None
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PreconditionError, match=r"is not empty \(thesis.txt\)"):
        manifest.read(tmp_path, {})


def test_a_day_whose_file_is_gone_is_said(tmp_path: Path) -> None:
    begun(tmp_path, {}, a=Day(file="day=a/samples.parquet", rows=1, bytes=1))
    with pytest.raises(PreconditionError, match="of the export's day a is gone"):
        manifest.read(tmp_path, {})


def test_one_export_at_a_time_has_a_folder(tmp_path: Path) -> None:
    with manifest.owned(tmp_path), pytest.raises(ConflictError, match="another export"), manifest.owned(tmp_path):
        pass


def test_progress_says_what_is_left_of_the_time() -> None:
    said = list[str]()
    clock: Iterator[float] = iter((0.0, 10.0, 20.0))
    tell = teller(said.append, lambda: next(clock))
    days = [Progress(day=f"d{n}", rows=1_000 * n, bytes=250_000, done=n, days=4, known=n == 1) for n in range(1, 5)]
    for one in days:
        tell(one)
    assert said == [
        "d1: 1,000 rows, written before (day 1 of 4)\n",
        "d2: 2,000 rows, 0.2 MB (day 2 of 4, about 20 s left)\n",
        "d3: 3,000 rows, 0.2 MB (day 3 of 4, about 10 s left)\n",
        "d4: 4,000 rows, 0.2 MB (day 4 of 4)\n",
    ]


@pytest.mark.parametrize("form", list(Form))
def test_every_form_gives_back_its_rows(form: Form) -> None:
    schema = pa.schema([("name", pa.dictionary(pa.int32(), pa.string())), ("value", pa.float64())])
    parts: list[dict[str, list[Any]]] = [
        {"name": ["a", "b"], "value": [0.1, None]},
        {"name": ["c", "a"], "value": [1e-300, 2.0]},
    ]
    sink = io.BytesIO()
    writer = forms.writer(sink, schema, form)
    for part in parts:
        names = pa.array(part["name"], pa.string()).dictionary_encode()
        columns = [names, pa.array(part["value"], pa.float64())]
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    writer.close()
    whole = pa.BufferReader(sink.getvalue())
    match form:
        case Form.PARQUET:
            found = pyarrow.parquet.read_table(whole)
        case Form.ARROW:
            found = pyarrow.feather.read_table(whole)
        case Form.ARROW_STREAM:
            found = pa.ipc.open_stream(whole).read_all()
        case Form.CSV:
            found = pa.csv.read_csv(whole)
    assert found.to_pydict() == {name: parts[0][name] + parts[1][name] for name in ("name", "value")}
