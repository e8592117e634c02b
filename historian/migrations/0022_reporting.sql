-- How a tag is reported, where it differs from its gateway's settings.

ALTER TABLE tags
    ADD COLUMN deadband_percent double precision NOT NULL DEFAULT 0 CHECK (deadband_percent >= 0 AND deadband_percent <= 100),
    ADD COLUMN swinging_door boolean,
    ADD COLUMN max_silence_s double precision CHECK (max_silence_s > 0),
    ADD COLUMN sampling_ms integer CHECK (sampling_ms > 0);
COMMENT ON COLUMN tags.deadband_percent IS 'Deadband in percent of the EU range, in the place of an absolute one; 0 for none.';
COMMENT ON COLUMN tags.swinging_door IS 'Whether its deadband keeps corners of a line instead of changes; null: as the gateway is set.';
COMMENT ON COLUMN tags.max_silence_s IS 'Longest time without a report while the machine sends, seconds; null: as the gateway is set.';
COMMENT ON COLUMN tags.sampling_ms IS 'How often the machine is to be looked at, milliseconds; null: as often as the protocol can.';

CREATE OR REPLACE VIEW tag_definition AS
SELECT t.tag_id, t.device_id, t.registry_version, p.path || '/' || t.name AS path, t.name, split_part(p.path, '/', 2) AS site, d.device_class,
       t.tag_class, t.description, t.data_type, t.unit, t.eu_low, t.eu_high, t.limit_low, t.limit_high, t.max_rate, t.stuck_after_s,
       t.period_ms, t.deadband, t.windows_s, d.detector, t.historise, d.gateway_id, d.lane, t.address, t.writable, t.retired,
       t.deadband_percent, t.swinging_door, t.max_silence_s, t.sampling_ms
FROM tags t
JOIN devices d USING (device_id)
JOIN device_paths p ON p.device_id = t.device_id AND p.valid_to = 'infinity';
COMMENT ON COLUMN tag_definition.deadband_percent IS 'Deadband in percent of the EU range; 0 for none.';
COMMENT ON COLUMN tag_definition.swinging_door IS 'Whether its deadband keeps corners of a line; null: as the gateway is set.';
COMMENT ON COLUMN tag_definition.max_silence_s IS 'Longest time without a report, seconds; null: as the gateway is set.';
COMMENT ON COLUMN tag_definition.sampling_ms IS 'How often the machine is to be looked at, milliseconds; null: as often as the protocol can.';
