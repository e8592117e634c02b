-- What the accounting looks at beside the lanes, for readers: how much there is, not what it is. The tables behind it stay internal.

CREATE VIEW backlog AS
    SELECT (SELECT count(*) FROM rejects r WHERE reason IN ('UNDECODABLE', 'UNKNOWN_SCHEMA') AND NOT EXISTS (
                SELECT FROM replays p JOIN ledger l USING (gateway_id, epoch, lane, stream)
                WHERE p.reject_identity = r.identity AND p.sequence <@ l.sequences)) AS undecodable,
           (SELECT count(*) FROM dirty_ranges) AS dirty_ranges;
COMMENT ON VIEW backlog IS 'One row: what the accounting counts beside the lanes.';
COMMENT ON COLUMN backlog.undecodable IS 'Records that nobody could decode and whose samples were not replayed.';
COMMENT ON COLUMN backlog.dirty_ranges IS 'Ranges of windows that wait to be recomputed from samples.';

GRANT SELECT ON backlog TO millrace_reader;

CREATE VIEW open_partition AS
    SELECT partition_name, from_time, to_time FROM partitions
    WHERE closed_at IS NULL AND table_name = 'samples' AND NOT (SELECT timescaledb FROM storage_settings);
COMMENT ON VIEW open_partition IS 'Partitions of samples that are not closed; none where TimescaleDB keeps chunks.';
COMMENT ON COLUMN open_partition.partition_name IS 'Name of its table.';
COMMENT ON COLUMN open_partition.from_time IS 'First time that belongs into it.';
COMMENT ON COLUMN open_partition.to_time IS 'First time behind it.';

GRANT SELECT ON open_partition TO millrace_reader;
