-- What makes a restored or promoted database find its way back into Kafka: how far it has read each partition, written in the transactions
-- of the ledger, and which life of the database that belongs to.

CREATE TABLE read_positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE read_positions IS 'How far the historian has read Kafka into this database: every record below next_offset is in it.';
COMMENT ON COLUMN read_positions.topic IS 'Topic.';
COMMENT ON COLUMN read_positions.partition IS 'Its partition.';
COMMENT ON COLUMN read_positions.next_offset IS 'Offset of the first record that is not known to be in.';
COMMENT ON COLUMN read_positions.updated_at IS 'When the newest of those before it were written.';

-- A restore to a point in time and a promotion both begin a new timeline of PostgreSQL; a copy into another cluster has its identifier.
CREATE FUNCTION database_timeline() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT system_identifier || '/' || ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
    FROM pg_control_system()
$$;
COMMENT ON FUNCTION database_timeline IS 'Which life of which database cluster this is: its identifier and its timeline.';

CREATE TABLE recovery_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    timeline text NOT NULL,
    recovered_at timestamptz NOT NULL DEFAULT now(),
    report jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO recovery_state (timeline) SELECT database_timeline();
COMMENT ON TABLE recovery_state IS 'The life of the database that the historian reads Kafka for: one row. With another one it writes nothing until `recover`.';
COMMENT ON COLUMN recovery_state.only_row IS 'Always true: keeps the table at one row.';
COMMENT ON COLUMN recovery_state.timeline IS 'database_timeline() at that time.';
COMMENT ON COLUMN recovery_state.recovered_at IS 'When the historian was last told to read from this database''s positions; first of all, when the table was made.';
COMMENT ON COLUMN recovery_state.report IS 'What that came to: what was read again, and what Kafka no longer had.';

-- Devices and tags that were registered behind the restored point are known to gateways and frames all the same. Loaded again, they get the
-- numbers they had.
CREATE TABLE reserved_ids (
    site text NOT NULL,
    device text NOT NULL,
    tag text NOT NULL,
    id integer NOT NULL,
    PRIMARY KEY (site, device, tag)
);
COMMENT ON TABLE reserved_ids IS 'Numbers of devices and tags that were registered after the restored point: found on registry.tags by `recover`.';
COMMENT ON COLUMN reserved_ids.site IS 'Site.';
COMMENT ON COLUMN reserved_ids.device IS 'Name of the device.';
COMMENT ON COLUMN reserved_ids.tag IS 'Name of the tag; empty for the device itself.';
COMMENT ON COLUMN reserved_ids.id IS 'Number that it has in frames and topics.';

CREATE FUNCTION take_reserved_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'devices' THEN
        NEW.device_id := coalesce(
            (SELECT r.id FROM reserved_ids r WHERE (r.site, r.device, r.tag) = (NEW.site, NEW.name, '')), NEW.device_id);
    ELSE
        NEW.tag_id := coalesce(
            (SELECT r.id FROM reserved_ids r JOIN devices d ON (d.site, d.name) = (r.site, r.device)
             WHERE d.device_id = NEW.device_id AND r.tag = NEW.name), NEW.tag_id);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION take_reserved_id IS 'Gives a device or a tag the number that is reserved for it.';
CREATE TRIGGER devices_reserved_id BEFORE INSERT ON devices FOR EACH ROW EXECUTE FUNCTION take_reserved_id();
CREATE TRIGGER tags_reserved_id BEFORE INSERT ON tags FOR EACH ROW EXECUTE FUNCTION take_reserved_id();

-- A rule instead of a list: what the historian's role may write comes from Kafka, but for claims of replays, which people make. A table of
-- tomorrow is `entered` until it says otherwise.
CREATE VIEW table_origin AS
SELECT c.relname::text AS name,
       CASE WHEN c.relname = 'replays' THEN 'entered'
            WHEN has_table_privilege('millrace_writer', c.oid, 'INSERT') THEN 'kafka'
            WHEN c.relname IN ('rollup_1h', 'partitions', 'schema_migrations', 'storage_settings', 'recovery_state', 'verdicts') THEN 'computed'
            ELSE 'entered' END AS origin
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');
COMMENT ON VIEW table_origin IS 'Where the rows of each table come from, and so what a restore to an earlier point costs.';
COMMENT ON COLUMN table_origin.name IS 'Table.';
COMMENT ON COLUMN table_origin.origin IS
    'kafka: read again after a restore; computed: made again by migrations and maintenance; entered: only here, lost behind the restored point.';

GRANT SELECT ON table_origin, read_positions, recovery_state TO millrace_reader;
GRANT INSERT, UPDATE ON read_positions TO millrace_writer;
