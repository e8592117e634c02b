-- A plant of 100,000 samples a second and more gets short partitions without any index while they are hot: the BRIN alone costs more per row
-- than the COPY. They are indexed as soon as they have ended (connectors.timescale.partitions). What decides is the registry's nominal rate.

ALTER TABLE partitions ADD COLUMN dense boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN partitions.dense IS 'Made for a high rate: short, without an index while it is hot.';

CREATE OR REPLACE FUNCTION ensure_partition(parent text, at timestamptz, OUT from_time timestamptz, OUT to_time timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    step interval;
    rate double precision;
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
        IF dense THEN
            step := least(step, CASE WHEN rate >= 500000 THEN interval '1 minute' ELSE interval '5 minutes' END);
        END IF;
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
    IF parent = 'samples' AND NOT dense THEN
        EXECUTE format('CREATE INDEX ON %I USING brin (time) WITH (pages_per_range = 32, autosummarize = on)', child);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, low, high);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_range', child);
    EXECUTE format('COMMENT ON TABLE %I IS %L', child, format('Partition of %s from %s to %s.', parent, low, high));
    INSERT INTO partitions (partition_name, table_name, from_time, to_time, dense) VALUES (child, parent, low, high, dense);
    SELECT low, high INTO ensure_partition.from_time, ensure_partition.to_time;
END $$;
