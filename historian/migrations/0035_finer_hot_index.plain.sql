-- Four pages a range in the BRIN of hot partitions, not eight: half as many rows are looked at for one that is wanted (docs/adr/0031).
-- Otherwise as before (0030).

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
            EXECUTE format('CREATE INDEX %I ON %I USING brin (tag_id, time) WITH (pages_per_range = 4)', child || '_hot', child);
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
