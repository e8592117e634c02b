-- Views for people: paths, units and names instead of numbers. Each works the same with and without TimescaleDB.

CREATE VIEW telemetry AS
SELECT s.time, p.path || '/' || t.name AS path, t.name, s.value, t.unit, quality_name(s.quality::integer) AS quality,
       s.quality::integer & 65535 AS quality_code, v.name AS verdict, t.device_id, s.tag_id
FROM samples s
JOIN tags t USING (tag_id)
JOIN device_paths p ON p.device_id = t.device_id AND s.time >= p.valid_from AND s.time < p.valid_to
JOIN verdicts v USING (verdict);
COMMENT ON VIEW telemetry IS 'Every stored sample, with the path its device had at that time. Always ask for a range of time.';
COMMENT ON COLUMN telemetry.time IS 'Source time.';
COMMENT ON COLUMN telemetry.path IS 'Path of the tag at that time: enterprise/site/area/line/cell/device/tag.';
COMMENT ON COLUMN telemetry.name IS 'Tag name, last part of the path.';
COMMENT ON COLUMN telemetry.value IS 'Value in the unit; booleans are 0 and 1.';
COMMENT ON COLUMN telemetry.unit IS 'UCUM code; 1 for none.';
COMMENT ON COLUMN telemetry.quality IS 'good, uncertain or bad.';
COMMENT ON COLUMN telemetry.quality_code IS 'High 16 bits of the OPC UA StatusCode.';
COMMENT ON COLUMN telemetry.verdict IS 'What validation decided; see the table verdicts.';
COMMENT ON COLUMN telemetry.device_id IS 'Device.';
COMMENT ON COLUMN telemetry.tag_id IS 'Tag.';

CREATE VIEW latest AS
SELECT to_time(l.time_us) AS time, t.path, t.name, l.value, t.unit, quality_name(l.quality) AS quality, l.quality AS quality_code,
       CASE WHEN isfinite(to_time(l.time_us)) THEN now() - to_time(l.time_us) END AS age, t.device_id, l.tag_id
FROM lane_latest AS x
CROSS JOIN LATERAL unnest(x.tag_ids, x.times_us, x."values", x.qualities) AS l(tag_id, time_us, value, quality)
JOIN tag_definition t USING (tag_id)
WHERE t.gateway_id = x.gateway_id AND t.lane = x.lane;
COMMENT ON VIEW latest IS 'Last known value of every tag.';
COMMENT ON COLUMN latest.time IS 'Source time.';
COMMENT ON COLUMN latest.path IS 'Present path of the tag.';
COMMENT ON COLUMN latest.name IS 'Tag name, last part of the path.';
COMMENT ON COLUMN latest.value IS 'Value in the unit.';
COMMENT ON COLUMN latest.unit IS 'UCUM code.';
COMMENT ON COLUMN latest.quality IS 'good, uncertain or bad.';
COMMENT ON COLUMN latest.quality_code IS 'High 16 bits of the OPC UA StatusCode.';
COMMENT ON COLUMN latest.age IS 'Time since then.';
COMMENT ON COLUMN latest.device_id IS 'Device.';
COMMENT ON COLUMN latest.tag_id IS 'Tag.';

CREATE VIEW aggregate AS
SELECT a.start, a.window_s, t.path, t.name, t.device_id, a.tag_id, t.unit, a.count, a.good, a.mean,
       CASE WHEN a.good > 1 THEN sqrt(a.m2 / (a.good - 1)) END AS stddev,
       a.min, a.min_time, a.max, a.max_time, a.first, a.first_time, a.last, a.last_time, a.repaired
FROM aggregates a
JOIN tag_definition t USING (tag_id);
COMMENT ON VIEW aggregate IS 'Windows of every tag, as the stream computed or the repair recomputed them.';
COMMENT ON COLUMN aggregate.start IS 'Start of the window, inclusive.';
COMMENT ON COLUMN aggregate.window_s IS 'Length of the window, seconds.';
COMMENT ON COLUMN aggregate.path IS 'Present path of the tag.';
COMMENT ON COLUMN aggregate.name IS 'Tag name, last part of the path.';
COMMENT ON COLUMN aggregate.device_id IS 'Device.';
COMMENT ON COLUMN aggregate.tag_id IS 'Tag.';
COMMENT ON COLUMN aggregate.unit IS 'UCUM code.';
COMMENT ON COLUMN aggregate.count IS 'Accepted samples.';
COMMENT ON COLUMN aggregate.good IS 'Of those, with good quality. The statistics are of good samples.';
COMMENT ON COLUMN aggregate.mean IS 'Mean of the samples, in the unit; null without a good sample.';
COMMENT ON COLUMN aggregate.stddev IS 'Sample standard deviation, in the unit; null with fewer than two good samples.';
COMMENT ON COLUMN aggregate.min IS 'Smallest value, in the unit.';
COMMENT ON COLUMN aggregate.min_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregate.max IS 'Largest value, in the unit.';
COMMENT ON COLUMN aggregate.max_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregate.first IS 'Earliest value, in the unit.';
COMMENT ON COLUMN aggregate.first_time IS 'Its time.';
COMMENT ON COLUMN aggregate.last IS 'Latest value, in the unit.';
COMMENT ON COLUMN aggregate.last_time IS 'Its time.';
COMMENT ON COLUMN aggregate.repaired IS 'Recomputed from samples; false when it came from the stream.';

CREATE VIEW aggregate_1h AS
SELECT a.start, a.window_s, t.path, t.name, t.device_id, t.tag_id, t.unit, a.count, a.good, a.mean,
       CASE WHEN a.good > 1 THEN sqrt(a.m2 / (a.good - 1)) END AS stddev,
       a.min, a.min_time, a.max, a.max_time, a.first, a.first_time, a.last, a.last_time
FROM tag_definition t
-- Per tag, so that a condition on the path comes first. Two lengths of window in one hour: the class of the tag was changed.
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (w.start) w.* FROM aggregates_1h w WHERE w.tag_id = t.tag_id ORDER BY w.start, w.count DESC, w.window_s
) a;
COMMENT ON VIEW aggregate_1h IS 'Hours of every tag.';
COMMENT ON COLUMN aggregate_1h.start IS 'Start of the hour, inclusive.';
COMMENT ON COLUMN aggregate_1h.window_s IS 'Length of the windows it is made of, seconds.';
COMMENT ON COLUMN aggregate_1h.path IS 'Present path of the tag.';
COMMENT ON COLUMN aggregate_1h.name IS 'Tag name, last part of the path.';
COMMENT ON COLUMN aggregate_1h.device_id IS 'Device.';
COMMENT ON COLUMN aggregate_1h.tag_id IS 'Tag.';
COMMENT ON COLUMN aggregate_1h.unit IS 'UCUM code.';
COMMENT ON COLUMN aggregate_1h.count IS 'Accepted samples.';
COMMENT ON COLUMN aggregate_1h.good IS 'Of those, with good quality. The statistics are of good samples.';
COMMENT ON COLUMN aggregate_1h.mean IS 'Mean of the samples, in the unit; null without a good sample.';
COMMENT ON COLUMN aggregate_1h.stddev IS 'Sample standard deviation, in the unit; null with fewer than two good samples.';
COMMENT ON COLUMN aggregate_1h.min IS 'Smallest value, in the unit.';
COMMENT ON COLUMN aggregate_1h.min_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregate_1h.max IS 'Largest value, in the unit.';
COMMENT ON COLUMN aggregate_1h.max_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregate_1h.first IS 'Earliest value, in the unit.';
COMMENT ON COLUMN aggregate_1h.first_time IS 'Its time.';
COMMENT ON COLUMN aggregate_1h.last IS 'Latest value, in the unit.';
COMMENT ON COLUMN aggregate_1h.last_time IS 'Its time.';

CREATE VIEW aggregate_1d AS
SELECT a.start, a.window_s, t.path, t.name, t.device_id, t.tag_id, t.unit, a.count, a.good, a.mean,
       CASE WHEN a.good > 1 THEN sqrt(a.m2 / (a.good - 1)) END AS stddev,
       a.min, a.min_time, a.max, a.max_time, a.first, a.first_time, a.last, a.last_time
FROM tag_definition t
-- Per tag, so that a condition on the path comes first. Two lengths of window in one day: the class of the tag was changed.
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (w.start) w.* FROM aggregates_1d w WHERE w.tag_id = t.tag_id ORDER BY w.start, w.count DESC, w.window_s
) a;
COMMENT ON VIEW aggregate_1d IS 'Days (UTC) of every tag.';
COMMENT ON COLUMN aggregate_1d.start IS 'Start of the day, inclusive.';
COMMENT ON COLUMN aggregate_1d.window_s IS 'Length of the windows it is made of, seconds.';
COMMENT ON COLUMN aggregate_1d.path IS 'Present path of the tag.';
COMMENT ON COLUMN aggregate_1d.name IS 'Tag name, last part of the path.';
COMMENT ON COLUMN aggregate_1d.device_id IS 'Device.';
COMMENT ON COLUMN aggregate_1d.tag_id IS 'Tag.';
COMMENT ON COLUMN aggregate_1d.unit IS 'UCUM code.';
COMMENT ON COLUMN aggregate_1d.count IS 'Accepted samples.';
COMMENT ON COLUMN aggregate_1d.good IS 'Of those, with good quality. The statistics are of good samples.';
COMMENT ON COLUMN aggregate_1d.mean IS 'Mean of the samples, in the unit; null without a good sample.';
COMMENT ON COLUMN aggregate_1d.stddev IS 'Sample standard deviation, in the unit; null with fewer than two good samples.';
COMMENT ON COLUMN aggregate_1d.min IS 'Smallest value, in the unit.';
COMMENT ON COLUMN aggregate_1d.min_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregate_1d.max IS 'Largest value, in the unit.';
COMMENT ON COLUMN aggregate_1d.max_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregate_1d.first IS 'Earliest value, in the unit.';
COMMENT ON COLUMN aggregate_1d.first_time IS 'Its time.';
COMMENT ON COLUMN aggregate_1d.last IS 'Latest value, in the unit.';
COMMENT ON COLUMN aggregate_1d.last_time IS 'Its time.';

CREATE VIEW rejected AS
SELECT r.rejected_at, r.reason, r.detail, to_time(s.time_us) AS time, t.path, s.value, t.unit, s.quality AS quality_code, s.tag_id,
       r.gateway_id, r.epoch, r.lane, (ARRAY['LIVE', 'BACKFILL', 'REPLAY'])[r.stream + 1] AS stream, r.sequence, s.position,
       r.source_topic, r.source_partition, r.source_offset, r.original
FROM rejects r
LEFT JOIN LATERAL unnest(r.tag_ids, r.times_us, r."values", r.qualities, r.positions) AS s(tag_id, time_us, value, quality, position) ON true
LEFT JOIN tag_definition t USING (tag_id);
COMMENT ON VIEW rejected IS 'Every refused sample, and every record refused as a whole.';
COMMENT ON COLUMN rejected.rejected_at IS 'When it was refused.';
COMMENT ON COLUMN rejected.reason IS 'Name of the verdict, or why the record was refused.';
COMMENT ON COLUMN rejected.detail IS 'What was wrong, with the numbers.';
COMMENT ON COLUMN rejected.time IS 'Source time of the sample; infinite when it is nonsense.';
COMMENT ON COLUMN rejected.path IS 'Present path of the tag; null for an unknown tag.';
COMMENT ON COLUMN rejected.value IS 'Value as it was sent.';
COMMENT ON COLUMN rejected.unit IS 'UCUM code.';
COMMENT ON COLUMN rejected.quality_code IS 'High 16 bits of the OPC UA StatusCode.';
COMMENT ON COLUMN rejected.tag_id IS 'Tag; null for a whole record.';
COMMENT ON COLUMN rejected.gateway_id IS 'Gateway.';
COMMENT ON COLUMN rejected.epoch IS 'Epoch of the frame.';
COMMENT ON COLUMN rejected.lane IS 'Lane.';
COMMENT ON COLUMN rejected.stream IS 'LIVE, BACKFILL or REPLAY.';
COMMENT ON COLUMN rejected.sequence IS 'Sequence of the frame.';
COMMENT ON COLUMN rejected.position IS 'Position in the frame.';
COMMENT ON COLUMN rejected.source_topic IS 'Topic it was read from.';
COMMENT ON COLUMN rejected.source_partition IS 'Its partition.';
COMMENT ON COLUMN rejected.source_offset IS 'Its offset.';
COMMENT ON COLUMN rejected.original IS 'The whole record, when it was refused as a whole.';

CREATE VIEW device AS
SELECT d.device_id, p.path, d.name, d.device_class, d.gateway_id, d.lane, d.protocol, nullif(p.valid_from, '-infinity') AS stands_there_since, d.retired
FROM devices d
JOIN device_paths p ON p.device_id = d.device_id AND p.valid_to = 'infinity';
COMMENT ON VIEW device IS 'Devices where they stand now.';
COMMENT ON COLUMN device.device_id IS 'Stable number.';
COMMENT ON COLUMN device.path IS 'Present path: enterprise/site/area/line/cell/device.';
COMMENT ON COLUMN device.name IS 'Last part of the path.';
COMMENT ON COLUMN device.device_class IS 'Class.';
COMMENT ON COLUMN device.gateway_id IS 'The one gateway that may send for it.';
COMMENT ON COLUMN device.lane IS 'Lane of that gateway.';
COMMENT ON COLUMN device.protocol IS 'opcua or sparkplug.';
COMMENT ON COLUMN device.stands_there_since IS 'When it came to its present place; null for its first.';
COMMENT ON COLUMN device.retired IS 'No longer in the plant.';

CREATE VIEW anomaly AS
SELECT a.start_time, a.end_time, d.path AS device_path, a.phase, a.score, a.peak_score, a.threshold, c.paths AS contributors, a.detector,
       a.detector_version, a.contributors AS contributor_details, a.device_id, a.episode_id, a.revision
FROM anomalies a
LEFT JOIN device d USING (device_id)
LEFT JOIN LATERAL (
    SELECT array_agg(t.path ORDER BY x.place) AS paths
    FROM jsonb_array_elements(a.contributors) WITH ORDINALITY AS x(item, place)
    JOIN tag_definition t ON t.tag_id = (x.item ->> 'tag_id')::integer
) c ON true;
COMMENT ON VIEW anomaly IS 'Anomaly episodes, one row each.';
COMMENT ON COLUMN anomaly.start_time IS 'First anomalous moment.';
COMMENT ON COLUMN anomaly.end_time IS 'Last anomalous moment; null while it is open.';
COMMENT ON COLUMN anomaly.device_path IS 'Present path of the device.';
COMMENT ON COLUMN anomaly.phase IS 'OPEN, UPDATE or CLOSE.';
COMMENT ON COLUMN anomaly.score IS 'Newest score, in [0, 1].';
COMMENT ON COLUMN anomaly.peak_score IS 'Highest score.';
COMMENT ON COLUMN anomaly.threshold IS 'Score at which it opened.';
COMMENT ON COLUMN anomaly.contributors IS 'Paths of the tags that explain it, strongest first.';
COMMENT ON COLUMN anomaly.detector IS 'Detector.';
COMMENT ON COLUMN anomaly.detector_version IS 'Version of the detector.';
COMMENT ON COLUMN anomaly.contributor_details IS 'Of each contributor: tag_id, score, value, expected_low, expected_high.';
COMMENT ON COLUMN anomaly.device_id IS 'Device.';
COMMENT ON COLUMN anomaly.episode_id IS 'Episode.';
COMMENT ON COLUMN anomaly.revision IS 'Step of the episode.';

CREATE VIEW command AS
SELECT DISTINCT ON (c.command_id) c.submitted_at, c.state, d.path AS device_path, c.name, c.parameters, c.submitted_by, c.updated_at, c.expires_at, c.attempt,
       c.detail, c.readback, c.late_acks, c.duplicate_acks, c.site, c.gateway_id, c.device_id, c.command_id, c.version
FROM commands c
LEFT JOIN device d USING (device_id)
ORDER BY c.command_id, c.version DESC;
COMMENT ON VIEW command IS 'Where every command stands. The table commands has every transition.';
COMMENT ON COLUMN command.submitted_at IS 'When it was submitted.';
COMMENT ON COLUMN command.state IS 'Where it stands.';
COMMENT ON COLUMN command.device_path IS 'Present path of the device.';
COMMENT ON COLUMN command.name IS 'Name of the command.';
COMMENT ON COLUMN command.parameters IS 'As requested.';
COMMENT ON COLUMN command.submitted_by IS 'Principal.';
COMMENT ON COLUMN command.updated_at IS 'Time of the last transition.';
COMMENT ON COLUMN command.expires_at IS 'When it expires.';
COMMENT ON COLUMN command.attempt IS 'Highest attempt seen.';
COMMENT ON COLUMN command.detail IS 'For people.';
COMMENT ON COLUMN command.readback IS 'Values read back.';
COMMENT ON COLUMN command.late_acks IS 'Acks after an outcome.';
COMMENT ON COLUMN command.duplicate_acks IS 'Acks seen again.';
COMMENT ON COLUMN command.site IS 'Site.';
COMMENT ON COLUMN command.gateway_id IS 'Gateway.';
COMMENT ON COLUMN command.device_id IS 'Device.';
COMMENT ON COLUMN command.command_id IS 'Command.';
COMMENT ON COLUMN command.version IS 'Number of transitions.';

CREATE VIEW lane AS
SELECT l.gateway_id, l.lane, (ARRAY['LIVE', 'BACKFILL', 'REPLAY'])[l.stream + 1] AS stream, l.epoch, l.frames, l.stored, l.rejected, l.suppressed, l.late,
       (SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint FROM unnest(range_merge(l.sequences)::int8multirange - l.sequences) AS r) AS missing_frames,
       l.newest_time, l.updated_at
FROM ledger l;
COMMENT ON VIEW lane IS 'The ledger for people: what of each lane is stored.';
COMMENT ON COLUMN lane.gateway_id IS 'Gateway.';
COMMENT ON COLUMN lane.lane IS 'Lane.';
COMMENT ON COLUMN lane.stream IS 'LIVE, BACKFILL or REPLAY.';
COMMENT ON COLUMN lane.epoch IS 'Life of the gateway''s buffer.';
COMMENT ON COLUMN lane.frames IS 'Frames that are in.';
COMMENT ON COLUMN lane.stored IS 'Samples stored.';
COMMENT ON COLUMN lane.rejected IS 'Samples rejected.';
COMMENT ON COLUMN lane.suppressed IS 'Samples left out by historise policy.';
COMMENT ON COLUMN lane.late IS 'Accepted samples too late for the windows of the stream.';
COMMENT ON COLUMN lane.missing_frames IS 'Frames missing between the first and the last that are in.';
COMMENT ON COLUMN lane.newest_time IS 'Newest source time of an accepted sample.';
COMMENT ON COLUMN lane.updated_at IS 'Last change.';
