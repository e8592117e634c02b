-- Replays: which refused samples were corrected and sent again, and as which frame. See docs/adr/0011.

CREATE TABLE replays (
    reject_identity text NOT NULL REFERENCES rejects (identity) ON DELETE CASCADE,
    tag_id integer NOT NULL,
    correction text NOT NULL,
    gateway_id text NOT NULL,
    epoch uuid NOT NULL,
    lane integer NOT NULL,
    stream smallint NOT NULL,
    sequence bigint NOT NULL,
    samples integer NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (reject_identity, tag_id)
);
CREATE INDEX replays_frame ON replays (gateway_id, epoch, lane, stream, sequence);
COMMENT ON TABLE replays IS 'Refused samples that were corrected and sent again: a row per refusal and tag, written before the frame is sent. A refusal is replayed once.';
COMMENT ON COLUMN replays.reject_identity IS 'The refusal, as in rejects.';
COMMENT ON COLUMN replays.tag_id IS 'Tag; 0 for a whole record.';
COMMENT ON COLUMN replays.correction IS 'What was done to the samples.';
COMMENT ON COLUMN replays.gateway_id IS 'Identity of the frame they were sent in: gateway.';
COMMENT ON COLUMN replays.epoch IS 'Epoch, derived from the refused frame, reason, tag and correction; that of the original for a whole record.';
COMMENT ON COLUMN replays.lane IS 'Lane.';
COMMENT ON COLUMN replays.stream IS '2 REPLAY; that of the original for a whole record.';
COMMENT ON COLUMN replays.sequence IS 'Sequence.';
COMMENT ON COLUMN replays.samples IS 'Samples in it.';
COMMENT ON COLUMN replays.claimed_at IS 'When it was decided; the frame was sent after that.';

CREATE VIEW replay AS
SELECT p.claimed_at, r.reason, p.correction, t.path, p.samples,
       CASE WHEN l.sequences IS NULL OR NOT p.sequence <@ l.sequences THEN 'sent'
            WHEN coalesce(again.samples, 0) = 0 THEN 'accepted'
            WHEN again.samples < p.samples THEN 'accepted in part'
            ELSE 'refused again' END AS outcome,
       p.tag_id, p.gateway_id, p.lane, p.epoch, (ARRAY['LIVE', 'BACKFILL', 'REPLAY'])[p.stream + 1] AS stream, p.sequence, p.reject_identity
FROM replays p
JOIN rejects r ON r.identity = p.reject_identity
LEFT JOIN tag_definition t ON t.tag_id = p.tag_id
LEFT JOIN ledger l ON (l.gateway_id, l.epoch, l.lane, l.stream) = (p.gateway_id, p.epoch, p.lane, p.stream)
LEFT JOIN LATERAL (
    SELECT sum(x.samples) AS samples FROM rejects x
    WHERE (x.gateway_id, x.epoch, x.lane, x.stream, x.sequence) = (p.gateway_id, p.epoch, p.lane, p.stream, p.sequence) AND x.tag_ids IS NOT NULL
) again ON true;
COMMENT ON VIEW replay IS 'What was replayed and what became of it, a row per refusal and tag.';
COMMENT ON COLUMN replay.claimed_at IS 'When it was sent again.';
COMMENT ON COLUMN replay.reason IS 'Why the samples had been refused.';
COMMENT ON COLUMN replay.correction IS 'What was done to them.';
COMMENT ON COLUMN replay.path IS 'Present path of the tag; null for a whole record.';
COMMENT ON COLUMN replay.samples IS 'Samples.';
COMMENT ON COLUMN replay.outcome IS 'sent (has not reached the ledger), accepted, accepted in part, or refused again.';
COMMENT ON COLUMN replay.tag_id IS 'Tag; 0 for a whole record.';
COMMENT ON COLUMN replay.gateway_id IS 'Gateway.';
COMMENT ON COLUMN replay.lane IS 'Lane.';
COMMENT ON COLUMN replay.epoch IS 'Epoch of the frame they were sent in.';
COMMENT ON COLUMN replay.stream IS 'Its stream.';
COMMENT ON COLUMN replay.sequence IS 'Its sequence.';
COMMENT ON COLUMN replay.reject_identity IS 'The refusal, as in rejects.';
CREATE INDEX rejects_frame ON rejects (gateway_id, epoch, lane, stream, sequence);

-- Refusals that are still open have no correction.
CREATE OR REPLACE VIEW rejected AS
SELECT r.rejected_at, r.reason, r.detail, to_time(s.time_us) AS time, t.path, s.value, t.unit, s.quality AS quality_code, s.tag_id,
       r.gateway_id, r.epoch, r.lane, (ARRAY['LIVE', 'BACKFILL', 'REPLAY'])[r.stream + 1] AS stream, r.sequence, s.position,
       r.source_topic, r.source_partition, r.source_offset, r.original, p.correction AS replayed
FROM rejects r
LEFT JOIN LATERAL unnest(r.tag_ids, r.times_us, r."values", r.qualities, r.positions) AS s(tag_id, time_us, value, quality, position) ON true
LEFT JOIN tag_definition t USING (tag_id)
LEFT JOIN replays p ON p.reject_identity = r.identity AND p.tag_id = coalesce(s.tag_id, 0);
COMMENT ON COLUMN rejected.replayed IS 'Correction with which it was sent again; null when it was not.';

-- Sequences of REPLAY are those of the refused frames, so holes are frames in which nothing was refused: only what was sent can be missing.
CREATE OR REPLACE VIEW lane AS
SELECT l.gateway_id, l.lane, (ARRAY['LIVE', 'BACKFILL', 'REPLAY'])[l.stream + 1] AS stream, l.epoch, l.frames, l.stored, l.rejected, l.suppressed, l.late,
       CASE WHEN l.stream = 2
            THEN (SELECT count(*) FROM replays p
                  WHERE (p.gateway_id, p.epoch, p.lane, p.stream) = (l.gateway_id, l.epoch, l.lane, l.stream) AND NOT p.sequence <@ l.sequences)
            ELSE (SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint FROM unnest(range_merge(l.sequences)::int8multirange - l.sequences) AS r)
       END AS missing_frames,
       l.newest_time, l.updated_at
FROM ledger l;
COMMENT ON COLUMN lane.rejected IS 'Samples rejected. Those of REPLAY frames were rejected before: what is rejected in the end is the sum, less all samples of REPLAY frames.';

GRANT SELECT ON replays, replay TO millrace_reader;
GRANT INSERT ON replays TO millrace_writer;
