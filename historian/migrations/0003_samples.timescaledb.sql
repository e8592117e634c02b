-- Samples with TimescaleDB: a hypertable whose chunks are compressed as COPY writes them (direct compress), one tag per segment in order of time.

CREATE TABLE samples (
    time timestamptz NOT NULL,
    value double precision NOT NULL,
    tag_id integer NOT NULL,
    quality smallint NOT NULL,
    verdict smallint NOT NULL
);
SELECT create_hypertable('samples', by_range('time', interval '1 day'), create_default_indexes => false);
ALTER TABLE samples SET (timescaledb.compress, timescaledb.compress_segmentby = 'tag_id', timescaledb.compress_orderby = 'time');
SELECT add_compression_policy('samples', compress_after => interval '2 hours', schedule_interval => interval '30 minutes');

CREATE TABLE aggregates (
    start timestamptz NOT NULL,
    tag_id integer NOT NULL,
    window_s integer NOT NULL,
    count bigint NOT NULL,
    good bigint NOT NULL,
    mean double precision,
    m2 double precision,
    min double precision,
    min_time timestamptz,
    max double precision,
    max_time timestamptz,
    first double precision,
    first_time timestamptz,
    last double precision,
    last_time timestamptz,
    repaired boolean NOT NULL DEFAULT false,
    contested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tag_id, window_s, start)
);
SELECT create_hypertable('aggregates', by_range('start', interval '7 days'), create_default_indexes => false);
ALTER TABLE aggregates SET (timescaledb.compress, timescaledb.compress_segmentby = 'tag_id, window_s', timescaledb.compress_orderby = 'start');
SELECT add_compression_policy('aggregates', compress_after => interval '7 days');

CREATE VIEW partitions AS
SELECT format('%I.%I', chunk_schema, chunk_name) AS partition_name, hypertable_name::text AS table_name, range_start AS from_time, range_end AS to_time,
       CASE WHEN is_compressed THEN range_end END AS closed_at
FROM timescaledb_information.chunks WHERE hypertable_name IN ('samples', 'aggregates') AND hypertable_schema = 'public';
COMMENT ON VIEW partitions IS 'Chunks of samples and aggregates.';
COMMENT ON COLUMN partitions.partition_name IS 'Name of the chunk.';
COMMENT ON COLUMN partitions.table_name IS 'Table it is part of: samples or aggregates.';
COMMENT ON COLUMN partitions.from_time IS 'Start, inclusive.';
COMMENT ON COLUMN partitions.to_time IS 'End, exclusive.';
COMMENT ON COLUMN partitions.closed_at IS 'Its end when it is compressed; null while it is hot.';

CREATE FUNCTION ensure_partition(parent text, at timestamptz, OUT from_time timestamptz, OUT to_time timestamptz)
LANGUAGE sql IMMUTABLE
RETURN ROW('-infinity'::timestamptz, 'infinity'::timestamptz);
COMMENT ON FUNCTION ensure_partition IS 'TimescaleDB makes chunks by itself: nothing to do.';
