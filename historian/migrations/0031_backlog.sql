-- What the accounting counts beside the lanes, for readers: how much there is, not what it is. The tables behind it stay internal.

CREATE VIEW backlog AS
    SELECT (SELECT count(*) FROM rejects r WHERE reason IN ('UNDECODABLE', 'UNKNOWN_SCHEMA') AND NOT EXISTS (
                SELECT FROM replays p JOIN ledger l USING (gateway_id, epoch, lane, stream)
                WHERE p.reject_identity = r.identity AND p.sequence <@ l.sequences)) AS undecodable,
           (SELECT count(*) FROM dirty_ranges) AS dirty_ranges;
COMMENT ON VIEW backlog IS 'One row: what the accounting counts beside the lanes.';
COMMENT ON COLUMN backlog.undecodable IS 'Records that nobody could decode and whose samples were not replayed.';
COMMENT ON COLUMN backlog.dirty_ranges IS 'Ranges of windows that wait to be recomputed from samples.';

GRANT SELECT ON backlog TO millrace_reader;
