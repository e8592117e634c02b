"""A small thread-mode job for tests of the stack: counts generated rows in keyed state and reports to a file.

`flink run -py counting_job.py --name NAME --report FILE [--behaviour MODULE] [--poison FILE]`; the report is a line of JSON with the
process id of the operator (equal to the TaskManager's in thread mode) and the highest count. A behaviour is a module of the code
root, imported by client and TaskManager: the report has its `VERSION`, and its `before(count)` is called with every row. A process
whose id is in the poison file fails at every row, for as long as it lives.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.table import StreamTableEnvironment

from jobs.flink.environment import execute


class Count(KeyedProcessFunction):
    """Counts the rows of a key."""

    def __init__(self, report: str, behaviour: str, poison: str) -> None:
        self._report = Path(report)
        self._poison = Path(poison) if poison else None
        self._module = behaviour

    def open(self, runtime_context: RuntimeContext) -> None:
        self._behaviour = importlib.import_module(self._module) if self._module else None
        self._count = runtime_context.get_state(ValueStateDescriptor("count", Types.LONG()))

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[int]:
        if self._poison and self._poison.exists() and self._poison.read_text() == str(os.getpid()):
            msg = "this process is poisoned"
            raise RuntimeError(msg)
        count = (self._count.value() or 0) + 1
        if self._behaviour:
            self._behaviour.before(count)
        self._count.update(count)
        scratch = self._report.with_suffix(".new")
        version = self._behaviour.VERSION if self._behaviour else ""
        scratch.write_text(json.dumps({"pid": os.getpid(), "count": count, "version": version}))
        scratch.replace(self._report)
        yield count


def main() -> None:
    """Build and submit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--behaviour", default="")
    parser.add_argument("--poison", default="")
    options = parser.parse_args()
    if options.behaviour:
        importlib.import_module(options.behaviour)
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(1000)
    tables = StreamTableEnvironment.create(env)
    tables.execute_sql("CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50')")
    rows = tables.to_data_stream(tables.from_path("ticks"))
    counted = rows.map(lambda row: 0, Types.INT()).key_by(lambda key: key, Types.INT())
    counts = counted.process(Count(options.report, options.behaviour, options.poison), Types.LONG()).uid("count")
    tables.create_temporary_view("counts", tables.from_data_stream(counts))
    tables.execute_sql("CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole')")
    statements = tables.create_statement_set()
    statements.add_insert_sql("INSERT INTO nowhere SELECT * FROM counts")
    statements.attach_as_datastream()
    execute(env, options.name)


if __name__ == "__main__":
    main()
