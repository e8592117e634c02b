"""The windowed aggregate in Flink SQL, all of it in the JVM: flat Avro from Kafka, a tumbling window per tag, closed windows to Kafka.

`flink run -py benchmarks/flink/sql_windows.py --bootstrap-servers S --output TOPIC --parallelism N`. Takes the telemetry job's name and
slots. Reads what is there when it starts and ends: the watermark then closes every window.
"""

from __future__ import annotations

import argparse

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from jobs.flink.environment import execute

# As in jobs.telemetry, benchmarks.peers.flat; neither is imported: all it needs of ours is the way into Flink.
NAME = "millrace-telemetry"
FLAT = "bench.flat"
OUT_OF_ORDER_S = 1


def main() -> None:
    """Run under `flink run`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--parallelism", required=True, type=int)
    options = parser.parse_args()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(options.parallelism)
    tables = StreamTableEnvironment.create(env)
    tables.execute_sql(f"""
        CREATE TABLE samples (
            tag_id INT NOT NULL, time_ms BIGINT NOT NULL, `value` DOUBLE NOT NULL, quality INT NOT NULL,
            ts AS TO_TIMESTAMP_LTZ(time_ms, 3), WATERMARK FOR ts AS ts - INTERVAL '{OUT_OF_ORDER_S}' SECOND
        ) WITH (
            'connector' = 'kafka', 'topic' = '{FLAT}', 'properties.bootstrap.servers' = '{options.bootstrap_servers}',
            'properties.group.id' = 'bench-sql', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
            'format' = 'avro'
        )""")
    tables.execute_sql(f"""
        CREATE TABLE windows (
            tag_id INT NOT NULL, start_ms BIGINT NOT NULL, n BIGINT NOT NULL,
            mean DOUBLE NOT NULL, low DOUBLE NOT NULL, high DOUBLE NOT NULL
        ) WITH (
            'connector' = 'kafka', 'topic' = '{options.output}', 'properties.bootstrap.servers' = '{options.bootstrap_servers}',
            'format' = 'avro', 'sink.delivery-guarantee' = 'at-least-once'
        )""")
    statements = tables.create_statement_set()
    statements.add_insert_sql("""
        INSERT INTO windows
        SELECT tag_id, MIN(time_ms) / 1000 * 1000, COUNT(*), AVG(`value`), MIN(`value`), MAX(`value`)
        FROM TABLE(TUMBLE(TABLE samples, DESCRIPTOR(ts), INTERVAL '1' SECOND))
        GROUP BY tag_id, window_start, window_end""")
    statements.attach_as_datastream()
    execute(env, NAME)


if __name__ == "__main__":
    main()
