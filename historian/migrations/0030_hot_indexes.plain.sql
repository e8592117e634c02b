-- One tag is read fast from a partition that is still written to (docs/adr/0031). Which index a new partition of samples has, by nominal rate:
--   below 20,000 samples a second: a BRIN on time and a btree on tag_id; what they cost does not matter there.
--   from there on: a BRIN on (tag_id, time), eight pages a range, that maintenance summarises every second behind the rows; quarters of an hour.
--   from 100,000 on (dense): the same, five minutes or one, but none at all for times that have passed: a backlog is written at full speed.
-- Otherwise as before (0017).

CREATE OR REPLACE FUNCTION ensure_partition(parent text, at timestamptz, OUT from_time timestamptz, OUT to_time timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    step interval;
    rate double precision := 0;
    dense boolean := false;
    child text;
    time_column text := CASE parent WHEN 'samples' THEN 'time' ELSE 'start' END;
    low timestamptz;
    high timestamptz;
BEGIN
    FOR attempt IN 1..2 LOOP
        SELECT p.from_time, p.to_time INTO low, high FROM partitions p WHERE p.table_name = parent AND p.from_time <= at AND p.to_time > at;
        IF FOUND THEN
            SELECT low, high INTO ensure_partition.from_time, ensure_partition.to_time;
            RETURN;
        END IF;
        -- One at a time; then look again.
        PERFORM pg_advisory_xact_lock(hashtext('millrace ensure_partition'));
    END LOOP;
    SELECT CASE parent WHEN 'samples' THEN samples_partition WHEN 'aggregates' THEN aggregates_partition END INTO step FROM storage_settings;
    IF step IS NULL THEN
        RAISE EXCEPTION 'table % has no partitions', parent;
    END IF;
    IF parent = 'samples' THEN
        SELECT coalesce(sum(1000.0 / t.period_ms), 0) INTO rate FROM tags t WHERE NOT t.retired AND t.historise <> 'NONE';
        dense := rate >= 100000;
        step := least(step, CASE WHEN rate >= 250000 THEN interval '1 minute' WHEN dense THEN interval '5 minutes'
                                 WHEN rate >= 20000 THEN interval '15 minutes' END);
    END IF;
    low := date_bin(step, at, timestamptz '2000-01-01 00:00:00+00');
    high := low + step;
    -- Beside partitions of another length, after a change of the setting.
    SELECT greatest(low, max(p.to_time)) INTO low FROM partitions p WHERE p.table_name = parent AND p.to_time <= at AND p.to_time > low;
    SELECT least(high, min(p.from_time)) INTO high FROM partitions p WHERE p.table_name = parent AND p.from_time > at AND p.from_time < high;
    child := parent || '_p' || to_char(low, 'YYYYMMDD_HH24MISS');
    -- ATTACH locks the parent against other ATTACHes only, where CREATE TABLE ... PARTITION OF would wait for every COPY. The constraint
    -- spares it the scan.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING COMMENTS INCLUDING STORAGE)', child, parent);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT in_range CHECK (%I >= %L AND %I < %L)', child, time_column, low, time_column, high);
    IF rate >= 20000 THEN
        -- Autovacuum would read and write again what is still being filled. Wraparound is guarded against all the same.
        EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', child);
        IF NOT dense OR at > clock_timestamp() - interval '1 minute' THEN
            EXECUTE format('CREATE INDEX %I ON %I USING brin (tag_id, time) WITH (pages_per_range = 8)', child || '_hot', child);
        END IF;
    ELSIF parent = 'samples' THEN
        EXECUTE format('CREATE INDEX ON %I USING brin (time) WITH (pages_per_range = 32, autosummarize = on)', child);
        EXECUTE format('CREATE INDEX %I ON %I (tag_id)', child || '_hot', child);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, low, high);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_range', child);
    EXECUTE format('COMMENT ON TABLE %I IS %L', child, format('Partition of %s from %s to %s.', parent, low, high));
    INSERT INTO partitions (partition_name, table_name, from_time, to_time, dense) VALUES (child, parent, low, high, dense);
    SELECT low, high INTO ensure_partition.from_time, ensure_partition.to_time;
END $$;
COMMENT ON COLUMN partitions.dense IS 'Made for a high rate: short, and without an index while it is filled if its time had passed.';
COMMENT ON COLUMN partitions.closed_at IS 'When it was given the indexes that it keeps; null while it is hot.';
