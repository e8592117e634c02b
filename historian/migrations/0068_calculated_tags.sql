-- Calculated tags: samples that the telemetry job makes of others, by an expression. They are stored with the frame of their inputs, and counted apart:
-- no gateway produced them.

ALTER TABLE tags ADD COLUMN expression text NOT NULL DEFAULT '';
COMMENT ON COLUMN tags.expression IS 'CEL over tags of the same device, of a calculated tag, which has no address; empty for a measured one.';

CREATE OR REPLACE VIEW tag_definition AS
SELECT t.tag_id, t.device_id, t.registry_version, p.path || '/' || t.name AS path, t.name, split_part(p.path, '/', 2) AS site, d.device_class,
       t.tag_class, t.description, t.data_type, t.unit, t.eu_low, t.eu_high, t.limit_low, t.limit_high, t.max_rate, t.stuck_after_s,
       t.period_ms, t.deadband, t.windows_s, d.detector, t.historise, d.gateway_id, d.lane, t.address, t.writable, t.retired,
       t.deadband_percent, t.swinging_door, t.max_silence_s, t.sampling_ms, t.expression
FROM tags t
JOIN devices d USING (device_id)
JOIN device_paths p ON p.device_id = t.device_id AND p.valid_to = 'infinity';
COMMENT ON COLUMN tag_definition.expression IS 'CEL over tags of the same device, of a calculated tag; empty for a measured one.';

INSERT INTO verdicts VALUES (5, 'CALCULATED', true, 'Made by the telemetry job of accepted samples; no gateway sent it. Its quality says whether it has a value.');

ALTER TABLE ledger
    ADD COLUMN calculated bigint NOT NULL DEFAULT 0,
    ADD COLUMN calculated_checksum bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ledger.stored IS 'Samples stored, calculated ones too.';
COMMENT ON COLUMN ledger.suppressed IS 'Accepted samples that the historise policy of their tag leaves out, calculated ones too.';
COMMENT ON COLUMN ledger.calculated IS 'Of stored and suppressed: samples that the telemetry job calculated, which no gateway produced.';
COMMENT ON COLUMN ledger.calculated_checksum IS 'Checksum of the calculated samples: the three others less this one is that of what the gateway produced.';

CREATE OR REPLACE VIEW lane AS
SELECT l.gateway_id, l.lane, (ARRAY['LIVE', 'BACKFILL', 'REPLAY'])[l.stream + 1] AS stream, l.epoch, l.frames, l.stored, l.rejected, l.suppressed, l.late,
       CASE WHEN l.stream = 2
            THEN (SELECT count(*) FROM replays p
                  WHERE (p.gateway_id, p.epoch, p.lane, p.stream) = (l.gateway_id, l.epoch, l.lane, l.stream) AND NOT p.sequence <@ l.sequences)
            ELSE (SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint FROM unnest(range_merge(l.sequences)::int8multirange - l.sequences) AS r)
       END AS missing_frames,
       l.newest_time, l.updated_at, l.calculated
FROM ledger l;
COMMENT ON COLUMN lane.calculated IS 'Of stored and suppressed: samples that the telemetry job calculated.';
