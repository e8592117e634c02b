-- Samples without TimescaleDB: native range partitions. The hot one has a BRIN on time only, because a btree costs two thirds of the COPY rate;
-- connectors.timescale.partitions builds the btree when a partition closes.

CREATE TABLE samples (
    time timestamptz NOT NULL,
    value double precision NOT NULL,
    tag_id integer NOT NULL,
    quality smallint NOT NULL,
    verdict smallint NOT NULL
) PARTITION BY RANGE (time);

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
) PARTITION BY RANGE (start);

CREATE TABLE partitions (
    partition_name text PRIMARY KEY,
    table_name text NOT NULL,
    from_time timestamptz NOT NULL,
    to_time timestamptz NOT NULL,
    closed_at timestamptz,
    UNIQUE (table_name, from_time)
);
COMMENT ON TABLE partitions IS 'Native partitions of samples and aggregates.';
COMMENT ON COLUMN partitions.partition_name IS 'Name of the partition.';
COMMENT ON COLUMN partitions.table_name IS 'Table it is part of: samples or aggregates.';
COMMENT ON COLUMN partitions.from_time IS 'Start, inclusive.';
COMMENT ON COLUMN partitions.to_time IS 'End, exclusive.';
COMMENT ON COLUMN partitions.closed_at IS 'When its btree was built; null while it is hot.';

CREATE FUNCTION ensure_partition(parent text, at timestamptz, OUT from_time timestamptz, OUT to_time timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    step interval;
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
    IF parent = 'samples' THEN
        EXECUTE format('CREATE INDEX ON %I USING brin (time) WITH (pages_per_range = 32, autosummarize = on)', child);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, low, high);
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_range', child);
    EXECUTE format('COMMENT ON TABLE %I IS %L', child, format('Partition of %s from %s to %s.', parent, low, high));
    INSERT INTO partitions VALUES (child, parent, low, high, NULL);
    SELECT low, high INTO ensure_partition.from_time, ensure_partition.to_time;
END $$;
COMMENT ON FUNCTION ensure_partition IS 'Makes the partition of samples or aggregates that holds a time, unless it is there; returns its bounds.';

