"""A small thread-mode job for tests of the stack: counts generated rows in keyed state and reports to a file.

`flink run -py counting_job.py --name NAME --report FILE`; the report is a line of JSON with the process id of the operator (equal to
the TaskManager's in thread mode) and the highest count.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.table import StreamTableEnvironment


class Count(KeyedProcessFunction):
    """Counts the rows of a key."""

    def __init__(self, report: str) -> None:
        self._report = Path(report)

    def open(self, runtime_context: RuntimeContext) -> None:
        self._count = runtime_context.get_state(ValueStateDescriptor("count", Types.LONG()))

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[int]:
        count = (self._count.value() or 0) + 1
        self._count.update(count)
        scratch = self._report.with_suffix(".new")
        scratch.write_text(json.dumps({"pid": os.getpid(), "count": count}))
        scratch.replace(self._report)
        yield count


def main() -> None:
    """Build and submit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--report", required=True)
    options = parser.parse_args()
    env = StreamExecutionEnvironment.get_execution_environment()
    tables = StreamTableEnvironment.create(env)
    tables.execute_sql("CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50')")
    rows = tables.to_data_stream(tables.from_path("ticks"))
    counted = rows.map(lambda row: 0, Types.INT()).key_by(lambda key: key, Types.INT())
    counts = counted.process(Count(options.report), Types.LONG()).uid("count")
    tables.create_temporary_view("counts", tables.from_data_stream(counts))
    tables.execute_sql("CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole')")
    statements = tables.create_statement_set()
    statements.add_insert_sql("INSERT INTO nowhere SELECT * FROM counts")
    statements.attach_as_datastream()
    env.execute(options.name)


if __name__ == "__main__":
    main()
