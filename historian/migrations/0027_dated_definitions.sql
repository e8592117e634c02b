-- Who asks for last March reads last March's names, places, units and limits. A period is a span of time in which all of these stayed the same;
-- nearly every tag has one. A trigger on tag_history keeps them, so that a read is one lookup by tag or by path instead of three joins.

CREATE TABLE tag_periods (
    tag_id integer NOT NULL REFERENCES tags,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL,
    path text NOT NULL,
    name text NOT NULL,
    device_id integer NOT NULL,
    unit text NOT NULL,
    eu_low double precision,
    eu_high double precision,
    limit_low double precision,
    limit_high double precision,
    gateway_id text NOT NULL,
    lane integer NOT NULL,
    PRIMARY KEY (tag_id, valid_from),
    CHECK (valid_from < valid_to)
);
CREATE INDEX tag_periods_path ON tag_periods (path text_pattern_ops);
COMMENT ON TABLE tag_periods IS 'What each tag was, and when: as tag_definitions_history, but only where name, place, unit or limits changed, and the first holds for all time before.';
COMMENT ON COLUMN tag_periods.tag_id IS 'Tag.';
COMMENT ON COLUMN tag_periods.valid_from IS 'Start, inclusive; -infinity for the first.';
COMMENT ON COLUMN tag_periods.valid_to IS 'End, exclusive; infinity for the present one.';
COMMENT ON COLUMN tag_periods.path IS 'Path it had: enterprise/site/area/line/cell/device/tag.';
COMMENT ON COLUMN tag_periods.name IS 'Tag name, last part of the path.';
COMMENT ON COLUMN tag_periods.device_id IS 'Device.';
COMMENT ON COLUMN tag_periods.unit IS 'UCUM code; 1 for none.';
COMMENT ON COLUMN tag_periods.eu_low IS 'OPC UA EURange low: what was normal.';
COMMENT ON COLUMN tag_periods.eu_high IS 'OPC UA EURange high.';
COMMENT ON COLUMN tag_periods.limit_low IS 'Below this a sample was refused.';
COMMENT ON COLUMN tag_periods.limit_high IS 'Above this a sample was refused.';
COMMENT ON COLUMN tag_periods.gateway_id IS 'The one gateway that could send it.';
COMMENT ON COLUMN tag_periods.lane IS 'Lane of that gateway.';

-- Places are older than the history of definitions: what was moved before it keeps its old paths.
INSERT INTO tag_periods
SELECT h.tag_id, greatest(h.valid_from, p.valid_from), least(h.valid_to, p.valid_to), p.path || '/' || d.name, d.name, d.device_id, d.unit,
       d.eu_low, d.eu_high, d.limit_low, d.limit_high, d.gateway_id, d.lane
FROM (SELECT tag_id, valid_to, definition,
             CASE WHEN row_number() OVER (PARTITION BY tag_id ORDER BY valid_from) = 1 THEN '-infinity' ELSE valid_from END AS valid_from
      FROM tag_history) h
CROSS JOIN LATERAL jsonb_populate_record(NULL::tag_periods, h.definition) d
JOIN device_paths p ON p.device_id = d.device_id AND p.valid_from < h.valid_to AND p.valid_to > h.valid_from;

CREATE FUNCTION keep_tag_periods() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE tag_periods p SET valid_to = i.valid_from
    FROM inserted i CROSS JOIN LATERAL jsonb_populate_record(NULL::tag_periods, i.definition) d
    WHERE p.tag_id = i.tag_id AND p.valid_to = 'infinity'
      AND (p.path, p.name, p.device_id, p.unit, p.eu_low, p.eu_high, p.limit_low, p.limit_high, p.gateway_id, p.lane)
          IS DISTINCT FROM (d.path, d.name, d.device_id, d.unit, d.eu_low, d.eu_high, d.limit_low, d.limit_high, d.gateway_id, d.lane);
    INSERT INTO tag_periods
    SELECT i.tag_id, CASE WHEN EXISTS (SELECT FROM tag_periods p WHERE p.tag_id = i.tag_id) THEN i.valid_from ELSE '-infinity' END, 'infinity',
           d.path, d.name, d.device_id, d.unit, d.eu_low, d.eu_high, d.limit_low, d.limit_high, d.gateway_id, d.lane
    FROM inserted i CROSS JOIN LATERAL jsonb_populate_record(NULL::tag_periods, i.definition) d
    WHERE NOT EXISTS (SELECT FROM tag_periods p WHERE p.tag_id = i.tag_id AND p.valid_to = 'infinity');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION keep_tag_periods IS 'Trigger: a new definition that shows begins a period.';
CREATE TRIGGER tag_history_inserted AFTER INSERT ON tag_history REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION keep_tag_periods();

CREATE FUNCTION unit_throughout(tag integer, unit text, after timestamptz, before timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN NOT EXISTS (SELECT FROM tag_periods o WHERE o.tag_id = tag AND o.valid_from > after AND o.valid_from < before AND o.unit <> unit_throughout.unit)
            THEN unit END;
COMMENT ON FUNCTION unit_throughout IS 'The unit a tag had at one time, or null when another came before a second one: figures over both are in neither.';

CREATE OR REPLACE VIEW telemetry AS
SELECT s.time, p.path, p.name, s.value, p.unit, quality_name(s.quality::integer) AS quality,
       s.quality::integer & 65535 AS quality_code, v.name AS verdict, p.device_id, s.tag_id, p.eu_low, p.eu_high, p.limit_low, p.limit_high
FROM samples s
JOIN tag_periods p ON p.tag_id = s.tag_id AND s.time >= p.valid_from AND s.time < p.valid_to
JOIN verdicts v USING (verdict);
COMMENT ON VIEW telemetry IS 'Every stored sample, with path, unit and limits that its tag had at that time. Always ask for a range of time.';
COMMENT ON COLUMN telemetry.unit IS 'UCUM code at that time; 1 for none.';
COMMENT ON COLUMN telemetry.eu_low IS 'OPC UA EURange low at that time: what was normal.';
COMMENT ON COLUMN telemetry.eu_high IS 'OPC UA EURange high at that time.';
COMMENT ON COLUMN telemetry.limit_low IS 'Below this a sample was refused at that time.';
COMMENT ON COLUMN telemetry.limit_high IS 'Above this a sample was refused at that time.';

CREATE OR REPLACE VIEW aggregate AS
SELECT a.start, a.window_s, p.path, p.name, p.device_id, a.tag_id,
       CASE WHEN p.valid_to >= a.start + make_interval(secs => a.window_s) THEN p.unit
            ELSE unit_throughout(a.tag_id, p.unit, a.start, a.start + make_interval(secs => a.window_s)) END AS unit,
       a.count, a.good, a.mean,
       CASE WHEN a.good > 1 THEN sqrt(a.m2 / (a.good - 1)) END AS stddev,
       a.min, a.min_time, a.max, a.max_time, a.first, a.first_time, a.last, a.last_time, a.repaired
FROM aggregates a
JOIN tag_periods p ON p.tag_id = a.tag_id AND a.start >= p.valid_from AND a.start < p.valid_to;
COMMENT ON COLUMN aggregate.path IS 'Path of the tag at the start of the window.';
COMMENT ON COLUMN aggregate.name IS 'Tag name then, last part of the path.';
COMMENT ON COLUMN aggregate.unit IS 'UCUM code; null when the unit changed within the window.';

CREATE OR REPLACE VIEW aggregate_1h AS
SELECT a.start, a.window_s, p.path, p.name, p.device_id, p.tag_id,
       CASE WHEN p.valid_to >= a.start + interval '1 hour' THEN p.unit
            ELSE unit_throughout(p.tag_id, p.unit, a.start, a.start + interval '1 hour') END AS unit,
       a.count, a.good, a.mean,
       CASE WHEN a.good > 1 THEN sqrt(a.m2 / (a.good - 1)) END AS stddev,
       a.min, a.min_time, a.max, a.max_time, a.first, a.first_time, a.last, a.last_time
FROM tag_periods p
-- Per tag, so that a condition on the path comes first. Two lengths of window in one hour: the class of the tag was changed.
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (w.start) w.* FROM aggregates_1h w
    WHERE w.tag_id = p.tag_id AND w.start >= p.valid_from AND w.start < p.valid_to ORDER BY w.start, w.count DESC, w.window_s
) a;
COMMENT ON COLUMN aggregate_1h.path IS 'Path of the tag at the start of the hour.';
COMMENT ON COLUMN aggregate_1h.name IS 'Tag name then, last part of the path.';
COMMENT ON COLUMN aggregate_1h.unit IS 'UCUM code; null when the unit changed within the hour.';

CREATE OR REPLACE VIEW aggregate_1d AS
SELECT a.start, a.window_s, p.path, p.name, p.device_id, p.tag_id,
       CASE WHEN p.valid_to >= a.start + interval '1 day' THEN p.unit
            ELSE unit_throughout(p.tag_id, p.unit, a.start, a.start + interval '1 day') END AS unit,
       a.count, a.good, a.mean,
       CASE WHEN a.good > 1 THEN sqrt(a.m2 / (a.good - 1)) END AS stddev,
       a.min, a.min_time, a.max, a.max_time, a.first, a.first_time, a.last, a.last_time
FROM tag_periods p
-- Per tag, so that a condition on the path comes first. Two lengths of window in one day: the class of the tag was changed.
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (w.start) w.* FROM aggregates_1d w
    WHERE w.tag_id = p.tag_id AND w.start >= p.valid_from AND w.start < p.valid_to ORDER BY w.start, w.count DESC, w.window_s
) a;
COMMENT ON COLUMN aggregate_1d.path IS 'Path of the tag at the start of the day.';
COMMENT ON COLUMN aggregate_1d.name IS 'Tag name then, last part of the path.';
COMMENT ON COLUMN aggregate_1d.unit IS 'UCUM code; null when the unit changed within the day.';

CREATE OR REPLACE VIEW anomaly AS
SELECT a.start_time, a.end_time, d.path AS device_path, a.phase, a.score, a.peak_score, a.threshold, c.paths AS contributors, a.detector,
       a.detector_version, a.contributors AS contributor_details, a.device_id, a.episode_id, a.revision
FROM anomalies a
LEFT JOIN device_paths d ON d.device_id = a.device_id AND a.start_time >= d.valid_from AND a.start_time < d.valid_to
LEFT JOIN LATERAL (
    SELECT array_agg(p.path ORDER BY x.place) AS paths
    FROM jsonb_array_elements(a.contributors) WITH ORDINALITY AS x(item, place)
    JOIN tag_periods p ON p.tag_id = (x.item ->> 'tag_id')::integer AND a.start_time >= p.valid_from AND a.start_time < p.valid_to
) c ON true;
COMMENT ON COLUMN anomaly.device_path IS 'Path of the device when it began.';
COMMENT ON COLUMN anomaly.contributors IS 'Paths, when it began, of the tags that explain it, strongest first.';

CREATE OR REPLACE VIEW rejected AS
SELECT r.rejected_at, r.reason, r.detail, to_time(s.time_us) AS time, t.path, s.value, t.unit, s.quality AS quality_code, s.tag_id,
       r.gateway_id, r.epoch, r.lane, (ARRAY['LIVE', 'BACKFILL', 'REPLAY'])[r.stream + 1] AS stream, r.sequence, s.position,
       r.source_topic, r.source_partition, r.source_offset, r.original, p.correction AS replayed, t.eu_low, t.eu_high, t.limit_low, t.limit_high
FROM rejects r
LEFT JOIN LATERAL unnest(r.tag_ids, r.times_us, r."values", r.qualities, r.positions) AS s(tag_id, time_us, value, quality, position) ON true
-- A time that is nonsense says nothing: what counts then is when it was refused.
LEFT JOIN LATERAL (SELECT CASE WHEN to_time(s.time_us) BETWEEN '2000-01-01 00:00:00+00' AND r.rejected_at THEN to_time(s.time_us) ELSE r.rejected_at END AS time) w ON true
LEFT JOIN tag_periods t ON t.tag_id = s.tag_id AND w.time >= t.valid_from AND w.time < t.valid_to
LEFT JOIN replays p ON p.reject_identity = r.identity AND p.tag_id = coalesce(s.tag_id, 0);
COMMENT ON COLUMN rejected.path IS 'Path of the tag at that time, or when it was refused if the time is nonsense; null for an unknown tag.';
COMMENT ON COLUMN rejected.unit IS 'UCUM code then.';
COMMENT ON COLUMN rejected.eu_low IS 'OPC UA EURange low then: what was normal.';
COMMENT ON COLUMN rejected.eu_high IS 'OPC UA EURange high then.';
COMMENT ON COLUMN rejected.limit_low IS 'Below this a sample was refused then.';
COMMENT ON COLUMN rejected.limit_high IS 'Above this a sample was refused then.';

GRANT SELECT ON tag_periods TO millrace_reader;
