"""History as columns, and as tables of pandas, polars and Arrow."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from millrace_client import Aggregates, Chart, ChartSeries, Samples, SampleSeries, unpack
from millrace_client._proto.millrace.v1 import history_pb2
from millrace_client.errors import MissingExtraError, NotFoundError
from millrace_client.fake import FakePlant
from millrace_client.results import AggregateSeries, columns
from millrace_client.results.columns import column, packed

START_US = 1_700_000_000_123_456
PRESS = "acme/north/press01"


@pytest.fixture(params=["numpy", "plain"])
def arrays(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With numpy, and without."""
    if request.param == "numpy":
        pytest.importorskip("numpy")
    else:
        monkeypatch.setattr(columns, "numpy_or_none", lambda: None)
    return str(request.param)


def samples() -> Samples:
    made: tuple[tuple[str, int, str, list[float]], ...] = (
        ("temperature", 1, "Cel", [20.5, 21.0]),
        ("speed", 2, "m/s", [1.0]),
        ("idle", 3, "1", []),
    )
    return Samples(
        tuple(
            SampleSeries(
                tag_id=tag_id,
                path=f"{PRESS}/{name}",
                unit=unit,
                time_us=column("q", [packed("q", [START_US + number for number in range(len(values))])]),
                value=column("d", [packed("d", values)]),
                quality=column("H", [packed("H", [0x8000] * len(values))]),
            )
            for name, tag_id, unit, values in made
        )
    )


def chart() -> Chart:
    """A curve of samples and one of windows."""
    empty = column("d", [])

    def series(**more: Any) -> ChartSeries:
        shared = {
            "unit": "1",
            "time_us": column("q", [packed("q", [START_US])]),
            "value": column("d", [packed("d", [1])]),
        }
        return ChartSeries(**shared | more)

    return Chart(
        (
            series(
                tag_id=1,
                path="a",
                source="samples",
                window_s=0,
                min=empty,
                max=empty,
                quality=column("H", [packed("H", [7])]),
                repaired=column("B", []),
            ),
            series(
                tag_id=2,
                path="b",
                source="windows",
                window_s=60,
                min=column("d", [packed("d", [0.5])]),
                max=column("d", [packed("d", [1.5])]),
                quality=column("H", []),
                repaired=column("B", [bytes([1])]),
            ),
        )
    )


def test_chunks_of_a_tag_become_one_series(arrays: str) -> None:
    def chunk(tag_id: int, values: list[float], **more: Any) -> history_pb2.ReadSamplesResponse:
        return history_pb2.ReadSamplesResponse(
            tag_id=tag_id,
            time_us=packed("q", [START_US + int(value) for value in values]),
            value=packed("d", values),
            quality=packed("H", [0] * len(values)),
            **more,
        )

    chunks = [chunk(1, [1.0, 2.0], path="a", unit="Cel"), chunk(1, [3.0], tag_complete=True), chunk(2, [], path="b")]
    first, second = unpack.series(SampleSeries, chunks)
    assert (first.path, first.unit, first.value.tolist(), len(first)) == ("a", "Cel", [1.0, 2.0, 3.0], 3)
    assert (second.path, len(second)) == ("b", 0)
    assert isinstance(first.value, memoryview) == (arrays == "plain")


@pytest.mark.usefixtures("arrays")
def test_a_series_is_found_by_what_names_it() -> None:
    table = samples()
    assert table[1] is table[f"{PRESS}/temperature"] is table["temperature"]
    assert (len(table), [series.tag_id for series in table]) == (3, [1, 2, 3])
    with pytest.raises(NotFoundError, match="0 series are called 'pressure'"):
        table["pressure"]


@pytest.mark.usefixtures("arrays")
def test_history_as_pandas() -> None:
    pd = pytest.importorskip("pandas")
    frame = samples().to_pandas()
    assert list(frame.columns) == ["time", "tag_id", "path", "unit", "value", "quality"]
    assert str(frame.time.dtype) == "datetime64[us, UTC]"
    assert frame.time[0] == pd.Timestamp("2023-11-14T22:13:20.123456Z")
    assert list(frame.path) == [f"{PRESS}/temperature"] * 2 + [f"{PRESS}/speed"]
    assert (str(frame.path.dtype), list(frame.unit)) == ("category", ["Cel", "Cel", "m/s"])
    assert (list(frame.value), list(frame.quality)) == ([20.5, 21.0, 1.0], [0x8000] * 3)
    curves = chart().to_pandas()
    assert list(curves.window_s) == [0, 60]
    assert math.isnan(curves["min"][0])
    assert curves["quality"].tolist() == [7, pd.NA]
    assert curves["repaired"].tolist() == [pd.NA, True]


@pytest.mark.usefixtures("arrays")
def test_history_as_arrow() -> None:
    pa = pytest.importorskip("pyarrow")
    table = samples().to_arrow()
    assert table.column_names == ["time", "tag_id", "path", "unit", "value", "quality"]
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")
    assert table["time"][0].as_py() == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)
    assert table["path"].to_pylist() == [f"{PRESS}/temperature"] * 2 + [f"{PRESS}/speed"]
    assert table["value"].to_pylist() == [20.5, 21.0, 1.0]
    curves = chart().to_arrow()
    assert (curves["min"].to_pylist(), curves["quality"].to_pylist()) == ([None, 0.5], [7, None])
    assert curves["repaired"].to_pylist() == [None, True]


@pytest.mark.usefixtures("arrays")
def test_history_as_polars() -> None:
    pl = pytest.importorskip("polars")
    frame = samples().to_polars()
    assert frame.columns == ["time", "tag_id", "path", "unit", "value", "quality"]
    assert frame.schema["time"] == pl.Datetime("us", "UTC")
    assert frame["time"][0] == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)
    assert frame["path"].to_list() == [f"{PRESS}/temperature"] * 2 + [f"{PRESS}/speed"]
    assert chart().to_polars()["quality"].to_list() == [7, None]


@pytest.mark.parametrize("kind", [Samples, Aggregates, Chart])
def test_a_table_of_nothing_has_its_columns(kind: type[Any]) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    empty = kind(())
    assert len(empty) == 0
    assert list(empty.to_pandas().columns) == empty.to_arrow().column_names
    assert ("window_s" in empty.to_pandas().columns) == (kind is not Samples)


@pytest.mark.parametrize(("library", "extra"), [("pandas", "pandas"), ("polars", "polars"), ("pyarrow", "arrow")])
def test_what_is_not_installed_is_named_with_its_extra(
    library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'millrace-client\[{extra}\]'") as caught:
        getattr(samples(), f"to_{extra}")()
    assert isinstance(caught.value, ImportError)


def test_windows_have_their_columns_too() -> None:
    pytest.importorskip("pandas")
    plant = FakePlant()
    plant.define(f"{PRESS}/temperature", unit="Cel", value=20.5)
    with plant.client() as client:
        table = client.aggregates(PRESS, window_s=60)
        frame = table.to_pandas()
    assert isinstance(table.series[0], AggregateSeries)
    names = "start tag_id path unit window_s count good mean min max stddev repaired"
    assert list(frame.columns) == names.split()
    assert (frame["mean"][0], frame["window_s"][0], frame["repaired"][0]) == (20.5, 60, False)
