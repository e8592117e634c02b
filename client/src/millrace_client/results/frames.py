"""Series of history as tables of pandas, polars and Arrow, all in the same shape. Each library is imported when it is asked for.

Columns: the time as a UTC timestamp, tag_id, path and unit as categories, window_s where there are windows, and the numbers. A column that
a series does not have (a chart of samples has no min) is NaN or null there.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import chain
from typing import Any

from millrace_client.errors import MissingExtraError
from millrace_client.results.columns import DTYPES, Column

_WITH_NULLS = "HB"
_TIMES = {"time_us": "time", "start_us": "start"}


def to_arrow(kind: Any, series: Sequence[Any]) -> Any:
    """A pyarrow.Table; numbers are not copied."""
    pa = _library("pyarrow", "arrow", "to_arrow")
    dtypes = {"q": pa.int64(), "d": pa.float64(), "H": pa.uint16(), "B": pa.uint8()}

    def chunk(dtype: Any, numbers: Column, rows: int) -> Any:
        return (
            pa.Array.from_buffers(dtype, rows, [None, pa.py_buffer(numbers)]) if len(numbers) else pa.nulls(rows, dtype)
        )

    def repeated(index: int, rows: int, words: list[str]) -> Any:
        return pa.DictionaryArray.from_arrays(
            pa.repeat(pa.scalar(index, pa.int32()), rows), pa.array(words, pa.string())
        )

    def whole(dtype: Any, chunks: list[Any]) -> Any:
        return pa.chunked_array(chunks, dtype)

    words, numbers = pa.dictionary(pa.int32(), pa.string()), pa.int32()
    paths, units = [one.path for one in series], sorted({one.unit for one in series})
    found: dict[str, Any] = {}
    for name, code in kind.COLUMNS.items():
        if name in _TIMES:
            dtype = pa.timestamp("us", "UTC")
            found[_TIMES[name]] = whole(dtype, [chunk(dtype, getattr(one, name), len(one)) for one in series])
            found["tag_id"] = whole(numbers, [pa.repeat(pa.scalar(one.tag_id, numbers), len(one)) for one in series])
            found["path"] = whole(words, [repeated(at, len(one), paths) for at, one in enumerate(series)])
            found["unit"] = whole(words, [repeated(units.index(one.unit), len(one), units) for one in series])
            if hasattr(kind, "window_s"):
                found["window_s"] = whole(
                    numbers, [pa.repeat(pa.scalar(one.window_s, numbers), len(one)) for one in series]
                )
        else:
            dtype = dtypes[code]
            made = whole(dtype, [chunk(dtype, getattr(one, name), len(one)) for one in series])
            found[name] = made.cast(pa.bool_()) if name == "repaired" else made
    return pa.table(found)


def to_pandas(kind: Any, series: Sequence[Any]) -> Any:
    """A pandas.DataFrame."""
    pd = _library("pandas", "pandas", "to_pandas")
    np = _library("numpy", "pandas", "to_pandas")
    return pd.DataFrame(
        _stacked(
            np,
            kind,
            series,
            time=lambda us: pd.DatetimeIndex(us.view("M8[us]")).tz_localize("UTC"),
            words=pd.Categorical.from_codes,
            nullable=lambda values, code: pd.array(
                values, dtype=pd.UInt16Dtype() if code == "H" else pd.BooleanDtype()
            ),
        )
    )


def to_polars(kind: Any, series: Sequence[Any]) -> Any:
    """A polars.DataFrame."""
    pl = _library("polars", "polars", "to_polars")
    np = _library("numpy", "polars", "to_polars")
    return pl.DataFrame(
        _stacked(
            np,
            kind,
            series,
            time=lambda us: pl.Series(values=us).cast(pl.Datetime("us", "UTC")),
            words=lambda codes, names: pl.Series(values=names, dtype=pl.Enum(names)).gather(codes),
            nullable=lambda values, code: pl.Series(values=values, dtype=pl.UInt16 if code == "H" else pl.Boolean),
        )
    )


def _stacked(np: Any, kind: Any, series: Sequence[Any], *, time: Any, words: Any, nullable: Any) -> dict[str, Any]:
    """Columns of all series under each other. The functions make a library's own kind of column."""
    rows = [len(one) for one in series]
    units = sorted({one.unit for one in series})
    found: dict[str, Any] = {}

    def each(numbers: Sequence[int]) -> Any:
        return np.repeat(np.array(numbers, "<i4"), rows)

    for name, code in kind.COLUMNS.items():
        parts = [np.asarray(getattr(one, name), DTYPES[code]) for one in series]
        complete = all(len(part) == n for part, n in zip(parts, rows, strict=True))
        if name in _TIMES:
            found[_TIMES[name]] = time(np.concatenate([np.empty(0, "<i8"), *parts]))
            found["tag_id"] = each([one.tag_id for one in series])
            found["path"] = words(each(range(len(series))), [one.path for one in series])
            found["unit"] = words(each([units.index(one.unit) for one in series]), units)
            if hasattr(kind, "window_s"):
                found["window_s"] = each([one.window_s for one in series])
        elif code in _WITH_NULLS and not complete:
            values = [part.tolist() if len(part) == n else [None] * n for part, n in zip(parts, rows, strict=True)]
            flat = chain.from_iterable(values)
            found[name] = nullable([bool(one) if code == "B" and one is not None else one for one in flat], code)
        else:
            filled = [part if len(part) == n else np.full(n, np.nan) for part, n in zip(parts, rows, strict=True)]
            whole = np.concatenate([np.empty(0, DTYPES[code]), *filled])
            found[name] = whole.astype(bool) if code == "B" else whole
    return found


def _library(name: str, extra: str, method: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"{method} needs {name}: pip install 'millrace-client[{extra}]'"
        raise MissingExtraError(msg) from error
