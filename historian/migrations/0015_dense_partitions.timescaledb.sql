-- TimescaleDB sizes and compresses its own chunks whatever the rate; the column is there so that both variants look the same.

CREATE OR REPLACE VIEW partitions AS
SELECT format('%I.%I', chunk_schema, chunk_name) AS partition_name, hypertable_name::text AS table_name, range_start AS from_time, range_end AS to_time,
       CASE WHEN is_compressed THEN range_end END AS closed_at, false AS dense
FROM timescaledb_information.chunks WHERE hypertable_name IN ('samples', 'aggregates') AND hypertable_schema = 'public';
COMMENT ON COLUMN partitions.dense IS 'Made for a high rate: short, without an index while it is hot.';
