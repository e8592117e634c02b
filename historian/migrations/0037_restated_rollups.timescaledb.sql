-- Hours and days are restated for data of any age: changed hours are marked as they are without TimescaleDB, and maintenance refreshes exactly those, then
-- their days. It compresses too. One hand instead of five background jobs: nothing is dropped before it is rolled up, and no worker
-- needs rights of its own.

SELECT remove_continuous_aggregate_policy('aggregates_1h');
SELECT remove_continuous_aggregate_policy('aggregates_1d');
SELECT remove_compression_policy('samples');
SELECT remove_compression_policy('aggregates');

CREATE TABLE rollup_stale (
    mark_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour timestamptz NOT NULL
);
CREATE INDEX rollup_stale_hour ON rollup_stale (hour);
COMMENT ON TABLE rollup_stale IS 'Hours whose windows changed since they were rolled up. Marks are only added and taken away, never updated: no writer waits for another.';
COMMENT ON COLUMN rollup_stale.mark_id IS 'Order of arrival.';
COMMENT ON COLUMN rollup_stale.hour IS 'Start of the hour.';

CREATE FUNCTION mark_stale_hours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollup_stale (hour)
    SELECT DISTINCT date_bin('1 hour', start, timestamptz '2000-01-01 00:00:00+00') FROM changed WHERE window_s >= 60;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION mark_stale_hours IS 'Trigger: marks the hours of changed windows.';
CREATE TRIGGER aggregates_inserted AFTER INSERT ON aggregates REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_hours();
CREATE TRIGGER aggregates_updated AFTER UPDATE ON aggregates REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_hours();

CREATE OR REPLACE FUNCTION mark_hours_stale(hours timestamptz[]) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO rollup_stale (hour) SELECT unnest(hours);
END;
COMMENT ON FUNCTION mark_hours_stale IS 'Marks hours for rolling up: triggers see windows that are written, not those that go.';

-- Late data of before this version may never have reached its hours: all of them, once.
INSERT INTO rollup_stale (hour)
SELECT DISTINCT h FROM partitions p CROSS JOIN LATERAL generate_series(p.from_time, least(p.to_time, now()) - interval '1 hour', interval '1 hour') AS h
WHERE p.table_name = 'aggregates';

ALTER MATERIALIZED VIEW aggregates_1h SET (timescaledb.compress, timescaledb.compress_segmentby = 'tag_id, window_s', timescaledb.compress_orderby = 'start');
ALTER MATERIALIZED VIEW aggregates_1d SET (timescaledb.compress, timescaledb.compress_segmentby = 'tag_id, window_s', timescaledb.compress_orderby = 'start');

-- A function and not a view, here and below partitions: an update of the extension makes its own views and catalogue anew, and cannot while a view of ours
-- hangs on them.
CREATE FUNCTION history_chunks() RETURNS TABLE (
    resolution text, chunk text, compressed_chunk text, from_time timestamptz, to_time timestamptz, compressed boolean, unsettled boolean
) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT k.resolution, format('%I.%I', i.chunk_schema, i.chunk_name), CASE WHEN z.id IS NOT NULL THEN format('%I.%I', z.schema_name, z.table_name) END, i.range_start, i.range_end,
           i.is_compressed, c.status <> 1
    FROM (VALUES ('samples', 'public', 'samples'), ('windows', 'public', 'aggregates')
          UNION ALL
          SELECT CASE a.view_name WHEN 'aggregates_1h' THEN 'hours' ELSE 'days' END, a.materialization_hypertable_schema, a.materialization_hypertable_name
          FROM timescaledb_information.continuous_aggregates a
          WHERE a.view_schema = 'public' AND a.view_name IN ('aggregates_1h', 'aggregates_1d')) AS k(resolution, hypertable_schema, hypertable_name)
    JOIN timescaledb_information.chunks i USING (hypertable_schema, hypertable_name)
    JOIN _timescaledb_catalog.chunk c ON c.schema_name = i.chunk_schema AND c.table_name = i.chunk_name
    LEFT JOIN _timescaledb_catalog.chunk z ON z.id = c.compressed_chunk_id
    ORDER BY i.range_start;
END $$;
COMMENT ON FUNCTION history_chunks IS
    'Chunks of samples, windows, hours and days, oldest first. unsettled: not compressed, or rows came after it was: compress_chunk is to be called.';

CREATE OR REPLACE VIEW partitions AS
SELECT c.chunk COLLATE "C" AS partition_name, CASE c.resolution WHEN 'windows' THEN 'aggregates' ELSE c.resolution END COLLATE "C" AS table_name,
       c.from_time, c.to_time,
       CASE WHEN c.compressed THEN c.to_time END AS closed_at, false AS dense
FROM history_chunks() c WHERE c.resolution IN ('samples', 'windows');

CREATE FUNCTION rolled_up_before(resolution text) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    watermark timestamptz;
BEGIN
    SELECT _timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(a.mat_hypertable_id)) INTO watermark FROM _timescaledb_catalog.continuous_agg a
    WHERE a.user_view_schema = 'public' AND a.user_view_name = CASE resolution WHEN 'hours' THEN 'aggregates_1h' WHEN 'days' THEN 'aggregates_1d' END;
    RETURN CASE WHEN watermark > timestamptz '1900-01-01 00:00:00+00' THEN watermark END;
END $$;
COMMENT ON FUNCTION rolled_up_before IS 'Hours or days that start before this are read as they were rolled up, later ones are computed as they are read; null: none is.';

CREATE FUNCTION measure_storage() RETURNS SETOF storage_size
LANGUAGE plpgsql STABLE AS $$
DECLARE
    piece record;
    share double precision;
    found bigint;
    total storage_size;
BEGIN
    FOR total.resolution IN SELECT unnest(ARRAY['samples', 'windows', 'hours', 'days']) LOOP
        total.rows := 0; total.bytes := 0; total.compressed_rows := 0; total.compressed_bytes := 0; total.measured_at := now();
        FOR piece IN SELECT * FROM history_chunks() c WHERE c.resolution = total.resolution LOOP
            total.rows := total.rows + estimated_rows(piece.chunk::regclass);
            total.bytes := total.bytes + pg_total_relation_size(piece.chunk::regclass);
            CONTINUE WHEN piece.compressed_chunk IS NULL;
            -- A row of it is a batch that knows how many it holds. Of a large chunk some pages are enough.
            share := least(100, 100.0 * 4000 / greatest(1, pg_relation_size(piece.compressed_chunk::regclass) / 8192));
            EXECUTE format('SELECT coalesce(sum(_ts_meta_count), 0) * 100 / %s FROM %s TABLESAMPLE SYSTEM (%s)', share, piece.compressed_chunk::regclass, share)
            INTO found;
            total.compressed_rows := total.compressed_rows + found;
            total.compressed_bytes := total.compressed_bytes + pg_total_relation_size(piece.compressed_chunk::regclass);
        END LOOP;
        RETURN NEXT total;
    END LOOP;
END $$;
COMMENT ON FUNCTION measure_storage IS 'Rows and bytes of each resolution as they are now.';

-- As without TimescaleDB: windows of the writer mark hours stale.
GRANT INSERT ON rollup_stale TO millrace_writer;
GRANT SELECT ON rollup_stale TO millrace_writer;
