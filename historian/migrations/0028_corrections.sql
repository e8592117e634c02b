-- A stored sample can be put right: by a person with a reason, or by a replay of the same tag and time. What it was stays, for whoever has to
-- account for it. Only the functions below change samples: nobody is granted UPDATE or DELETE on them. See docs/adr/0030.

INSERT INTO verdicts VALUES (4, 'CORRECTED', true, 'Put right after it was stored; what it was is in superseded.');

CREATE TABLE corrections (
    correction_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    corrected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL CHECK (who <> ''),
    why text NOT NULL CHECK (why <> ''),
    action text NOT NULL CHECK (action IN ('VALUE', 'SCALE', 'DROP', 'RESTORE', 'REPLAY')),
    value double precision,
    factor double precision,
    added double precision,
    restores uuid REFERENCES corrections,
    tag_id integer NOT NULL,
    from_time timestamptz NOT NULL,
    to_time timestamptz NOT NULL,
    windows_follow boolean NOT NULL,
    samples bigint NOT NULL DEFAULT 0
);
CREATE INDEX corrections_tag ON corrections (tag_id, from_time);
COMMENT ON TABLE corrections IS 'Corrections of stored samples: who, when, why and how. Rows are added only.';
COMMENT ON COLUMN corrections.correction_id IS 'Correction.';
COMMENT ON COLUMN corrections.corrected_at IS 'When it was made.';
COMMENT ON COLUMN corrections.who IS 'Who made it.';
COMMENT ON COLUMN corrections.why IS 'Why, in the words of who made it.';
COMMENT ON COLUMN corrections.action IS 'VALUE: one value for all. SCALE: times factor, plus added. DROP: taken out. RESTORE: as before another correction. REPLAY: sent again.';
COMMENT ON COLUMN corrections.value IS 'With VALUE: that value, in the tag''s unit.';
COMMENT ON COLUMN corrections.factor IS 'With SCALE: what values were multiplied by.';
COMMENT ON COLUMN corrections.added IS 'With SCALE: what was added then, in the tag''s unit.';
COMMENT ON COLUMN corrections.restores IS 'With RESTORE: the correction that was taken back.';
COMMENT ON COLUMN corrections.tag_id IS 'Tag.';
COMMENT ON COLUMN corrections.from_time IS 'Start of the range, inclusive.';
COMMENT ON COLUMN corrections.to_time IS 'End, exclusive.';
COMMENT ON COLUMN corrections.windows_follow IS 'Whether windows are computed again from samples; not for a tag that stores only a part of them.';
COMMENT ON COLUMN corrections.samples IS 'Samples that it changed.';

CREATE TABLE superseded_samples (
    correction_id uuid NOT NULL REFERENCES corrections,
    tag_id integer NOT NULL,
    time timestamptz NOT NULL,
    value double precision,
    quality smallint NOT NULL,
    verdict smallint NOT NULL,
    new_value double precision,
    entered boolean NOT NULL,
    gateway_id text NOT NULL,
    lane integer NOT NULL
);
CREATE INDEX superseded_samples_tag ON superseded_samples (tag_id, time);
CREATE INDEX superseded_samples_correction ON superseded_samples (correction_id);
COMMENT ON TABLE superseded_samples IS 'Samples as they were before a correction. Kept for ever. People read the view superseded.';
COMMENT ON COLUMN superseded_samples.correction_id IS 'Correction that took it out.';
COMMENT ON COLUMN superseded_samples.tag_id IS 'Tag.';
COMMENT ON COLUMN superseded_samples.time IS 'Source time.';
COMMENT ON COLUMN superseded_samples.value IS 'Value before; null when it had been taken out.';
COMMENT ON COLUMN superseded_samples.quality IS 'Its quality; it stays as it was.';
COMMENT ON COLUMN superseded_samples.verdict IS 'Its verdict; CORRECTED for one that had been put right before.';
COMMENT ON COLUMN superseded_samples.new_value IS 'Value after; null when it was taken out.';
COMMENT ON COLUMN superseded_samples.entered IS 'Whether the value after was entered with the correction. One that was replayed came in a frame, and one that was taken out is none.';
COMMENT ON COLUMN superseded_samples.gateway_id IS 'Gateway its tag had then.';
COMMENT ON COLUMN superseded_samples.lane IS 'Lane its tag had then.';

CREATE FUNCTION mark_corrected(correction uuid) RETURNS bigint
LANGUAGE plpgsql SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    found bigint;
BEGIN
    SELECT count(*) INTO found FROM superseded_samples s WHERE s.correction_id = correction;
    UPDATE corrections c SET samples = found WHERE c.correction_id = correction;
    -- Runs of consecutive minutes, as the store marks them.
    INSERT INTO dirty_ranges (tag_id, from_time, to_time, reason)
    SELECT r.tag_id, min(r.minute), max(r.minute) + interval '1 minute' - interval '1 microsecond', 'CORRECTION'
    FROM (SELECT m.tag_id, m.minute, m.minute - row_number() OVER (PARTITION BY m.tag_id ORDER BY m.minute) * interval '1 minute' AS run
          FROM (SELECT DISTINCT s.tag_id, date_trunc('minute', s.time) AS minute FROM superseded_samples s
                JOIN corrections c USING (correction_id) WHERE s.correction_id = correction AND c.windows_follow) m) r
    GROUP BY r.tag_id, r.run;
    RETURN found;
END $$;
COMMENT ON FUNCTION mark_corrected IS 'Counts what a correction changed, and marks its windows for the repair.';
COMMENT ON COLUMN dirty_ranges.reason IS 'BACKFILL, REPLAY, LATE, CONTESTED or CORRECTION.';

CREATE FUNCTION check_correction(tag integer, who text, why text) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    policy text;
BEGIN
    SELECT t.historise INTO policy FROM tags t WHERE t.tag_id = tag;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no tag %', tag USING ERRCODE = 'invalid_parameter_value';
    ELSIF coalesce(btrim(who), '') = '' OR coalesce(btrim(why), '') = '' THEN
        RAISE EXCEPTION 'a correction needs somebody who makes it, and a reason' USING ERRCODE = 'invalid_parameter_value';
    ELSIF length(who) > 1000 OR length(why) > 1000 THEN
        RAISE EXCEPTION 'who and why have at most 1000 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One correction of a tag at a time: the second sees what the first left.
    PERFORM pg_advisory_xact_lock(hashtext('millrace correction'), tag);
    RETURN policy = 'ALL';
END $$;
COMMENT ON FUNCTION check_correction IS 'Refuses a correction without tag, who or why; returns whether windows follow.';

CREATE FUNCTION correct_samples(tag integer, from_time timestamptz, to_time timestamptz, action text, who text, why text,
                                value double precision DEFAULT NULL, factor double precision DEFAULT NULL, added double precision DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
    correction uuid := gen_random_uuid();
    follow boolean := check_correction(tag, who, why);
    limit_samples CONSTANT bigint := 1000000;
    changed bigint;
    spoilt bigint;
BEGIN
    IF action NOT IN ('VALUE', 'SCALE', 'DROP') OR (action = 'VALUE') <> (value IS NOT NULL)
       OR (action = 'SCALE') <> (factor IS NOT NULL OR added IS NOT NULL) THEN
        RAISE EXCEPTION 'action is VALUE with a value, SCALE with a factor or something to add, or DROP with neither' USING ERRCODE = 'invalid_parameter_value';
    ELSIF from_time IS NULL OR to_time IS NULL OR NOT isfinite(from_time) OR NOT isfinite(to_time) OR from_time >= to_time THEN
        RAISE EXCEPTION 'from_time is not before to_time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO corrections (correction_id, who, why, action, value, factor, added, tag_id, from_time, to_time, windows_follow)
    VALUES (correction, who, why, action, value, CASE WHEN action = 'SCALE' THEN coalesce(factor, 1) END, CASE WHEN action = 'SCALE' THEN coalesce(added, 0) END,
            tag, from_time, to_time, follow);
    WITH gone AS (
        DELETE FROM samples s WHERE s.tag_id = tag AND s.time >= from_time AND s.time < to_time RETURNING s.*
    ), fresh AS (
        SELECT g.*, CASE action WHEN 'VALUE' THEN correct_samples.value WHEN 'SCALE' THEN g.value * coalesce(factor, 1) + coalesce(added, 0) END AS new_value
        FROM gone g
    ), kept AS (
        INSERT INTO superseded_samples
        SELECT correction, f.tag_id, f.time, f.value, f.quality, f.verdict, f.new_value, f.new_value IS NOT NULL, p.gateway_id, p.lane
        FROM fresh f JOIN tag_periods p ON p.tag_id = f.tag_id AND f.time >= p.valid_from AND f.time < p.valid_to
    ), entered AS (
        INSERT INTO samples (time, value, tag_id, quality, verdict)
        SELECT f.time, f.new_value, f.tag_id, f.quality, 4 FROM fresh f WHERE f.new_value IS NOT NULL
    )
    SELECT count(*), count(*) FILTER (WHERE f.new_value IN ('NaN', 'Infinity', '-Infinity')
                                      OR (t.data_type <> 'DOUBLE' AND f.new_value <> trunc(f.new_value))
                                      OR (t.data_type = 'BOOLEAN' AND f.new_value NOT IN (0, 1)))
    INTO changed, spoilt FROM fresh f JOIN tags t ON t.tag_id = f.tag_id;
    IF changed = 0 THEN
        RAISE EXCEPTION 'no sample of tag % is stored from % to %', tag, from_time, to_time USING ERRCODE = 'invalid_parameter_value';
    ELSIF changed > limit_samples THEN
        RAISE EXCEPTION '% samples are more than the % of one correction: make several, of shorter ranges', changed, limit_samples
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF spoilt > 0 THEN
        RAISE EXCEPTION '% values would be no values of the tag''s data type', spoilt USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF mark_corrected(correction) <> changed THEN
        RAISE EXCEPTION 'tag % was not defined at all times from % to %', tag, from_time, to_time USING ERRCODE = 'data_exception';
    END IF;
    RETURN correction;
END $$;
COMMENT ON FUNCTION correct_samples IS
    'Puts the stored samples of a tag in a range (end exclusive) right: VALUE, SCALE (times factor, plus added) or DROP. Returns the correction. Quality stays. For millrace_engineer.';

CREATE FUNCTION restore_samples(correction uuid, who text, why text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
    given corrections%ROWTYPE;
    again uuid := gen_random_uuid();
    follow boolean;
BEGIN
    SELECT c.* INTO given FROM corrections c WHERE c.correction_id = correction;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no correction %', correction USING ERRCODE = 'invalid_parameter_value';
    ELSIF given.action = 'REPLAY' THEN
        RAISE EXCEPTION 'correction % is a replay: put its samples right instead', correction USING ERRCODE = 'invalid_parameter_value';
    END IF;
    follow := check_correction(given.tag_id, who, why);
    IF EXISTS (SELECT FROM corrections c WHERE c.tag_id = given.tag_id AND c.corrected_at > given.corrected_at
               AND c.from_time < given.to_time AND c.to_time > given.from_time) THEN
        RAISE EXCEPTION 'a later correction lies over %: take that back first', correction USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO corrections (correction_id, who, why, action, restores, tag_id, from_time, to_time, windows_follow)
    VALUES (again, who, why, 'RESTORE', correction, given.tag_id, given.from_time, given.to_time, follow);
    IF given.from_time < (SELECT min(p.from_time) FROM partitions p WHERE p.table_name = 'samples') THEN
        RAISE EXCEPTION 'samples as old as those of correction % are no longer stored', correction USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- What came after the correction stays.
    WITH old AS (
        SELECT s.* FROM superseded_samples s WHERE s.correction_id = correction
    ), gone AS (
        DELETE FROM samples s WHERE s.tag_id = given.tag_id AND s.time >= given.from_time AND s.time < given.to_time
            AND s.verdict = 4 AND s.time IN (SELECT o.time FROM old o WHERE o.new_value IS NOT NULL)
    ), kept AS (
        INSERT INTO superseded_samples
        SELECT again, o.tag_id, o.time, o.new_value, o.quality, 4, o.value, o.value IS NOT NULL, o.gateway_id, o.lane FROM old o
    )
    INSERT INTO samples (time, value, tag_id, quality, verdict) SELECT o.time, o.value, o.tag_id, o.quality, 4 FROM old o WHERE o.value IS NOT NULL;
    PERFORM mark_corrected(again);
    RETURN again;
END $$;
COMMENT ON FUNCTION restore_samples IS 'Takes a correction back: its samples have the values of before, as a correction of its own. For millrace_engineer.';

CREATE FUNCTION supersede_replayed(tag_ids integer[], times timestamptz[], new_values double precision[], reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
    made uuid[] := '{}';
    each uuid;
    found bigint := 0;
BEGIN
    -- Inside the historian's transaction: it stores the frames that are new, and these times are theirs.
    WITH replayed AS (
        SELECT r.tag_id, r.time, max(r.value) AS value FROM unnest(tag_ids, times, new_values) AS r(tag_id, time, value) GROUP BY 1, 2
    ), gone AS (
        DELETE FROM samples s USING replayed r
        WHERE s.tag_id = r.tag_id AND s.time = r.time AND s.time >= (SELECT min(t) FROM unnest(times) t) AND s.time <= (SELECT max(t) FROM unnest(times) t)
        RETURNING s.*, r.value AS new_value
    ), correction AS (
        SELECT g.tag_id, gen_random_uuid() AS id, min(g.time) AS from_time, max(g.time) + interval '1 microsecond' AS to_time FROM gone g GROUP BY 1
    ), written AS (
        INSERT INTO corrections (correction_id, who, why, action, tag_id, from_time, to_time, windows_follow)
        SELECT c.id, 'replay', supersede_replayed.reason, 'REPLAY', c.tag_id, c.from_time, c.to_time, t.historise = 'ALL'
        FROM correction c JOIN tags t USING (tag_id) RETURNING correction_id
    ), kept AS (
        INSERT INTO superseded_samples
        SELECT c.id, g.tag_id, g.time, g.value, g.quality, g.verdict, g.new_value, false, p.gateway_id, p.lane
        FROM gone g JOIN correction c USING (tag_id)
        JOIN tag_periods p ON p.tag_id = g.tag_id AND g.time >= p.valid_from AND g.time < p.valid_to
        RETURNING correction_id
    )
    SELECT coalesce(array_agg(DISTINCT k.correction_id), '{}') INTO made FROM kept k;
    FOREACH each IN ARRAY made LOOP
        found := found + mark_corrected(each);
    END LOOP;
    RETURN found;
END $$;
COMMENT ON FUNCTION supersede_replayed IS 'Takes out what is stored of the tags at the times of a replay, before the replay is stored. For the historian.';

CREATE VIEW correction AS
SELECT c.corrected_at, c.who, c.why, p.path, p.unit, c.action, c.value, c.factor, c.added, c.from_time, c.to_time, c.samples, c.windows_follow, c.restores,
       (SELECT r.correction_id FROM corrections r WHERE r.restores = c.correction_id) AS restored_by, c.tag_id, c.correction_id
FROM corrections c
LEFT JOIN tag_periods p ON p.tag_id = c.tag_id AND c.from_time >= p.valid_from AND c.from_time < p.valid_to;
COMMENT ON VIEW correction IS 'Who put stored samples right, when, why and how.';
COMMENT ON COLUMN correction.path IS 'Path of the tag at the start of the range.';
COMMENT ON COLUMN correction.unit IS 'UCUM code then.';
COMMENT ON COLUMN correction.restored_by IS 'Correction that took this one back; null while it holds.';

CREATE VIEW superseded AS
SELECT s.time, p.path, s.value AS before, s.new_value AS after, p.unit, quality_name(s.quality::integer) AS quality, v.name AS verdict,
       c.action, c.who, c.corrected_at, c.why, s.tag_id, s.correction_id
FROM superseded_samples s
JOIN corrections c USING (correction_id)
JOIN verdicts v USING (verdict)
LEFT JOIN tag_periods p ON p.tag_id = s.tag_id AND s.time >= p.valid_from AND s.time < p.valid_to;
COMMENT ON VIEW superseded IS 'Samples as they were before they were put right, a row for each time that happened.';
COMMENT ON COLUMN superseded.time IS 'Source time.';
COMMENT ON COLUMN superseded.path IS 'Path of the tag at that time.';
COMMENT ON COLUMN superseded.before IS 'Value before; null when it had been taken out.';
COMMENT ON COLUMN superseded.after IS 'Value after; null when it was taken out.';
COMMENT ON COLUMN superseded.unit IS 'UCUM code at that time.';
COMMENT ON COLUMN superseded.quality IS 'good, uncertain or bad.';
COMMENT ON COLUMN superseded.verdict IS 'Verdict before; CORRECTED when it had been put right already.';
COMMENT ON COLUMN superseded.action IS 'VALUE, SCALE, DROP, RESTORE or REPLAY; see correction.';
COMMENT ON COLUMN superseded.who IS 'Who put it right.';
COMMENT ON COLUMN superseded.corrected_at IS 'When.';
COMMENT ON COLUMN superseded.why IS 'Why, in the words of who did.';
COMMENT ON COLUMN superseded.tag_id IS 'Tag.';
COMMENT ON COLUMN superseded.correction_id IS 'Correction.';

CREATE VIEW superseded_by_lane AS
SELECT s.gateway_id, s.lane, count(*) FILTER (WHERE s.value IS NOT NULL AND s.verdict <> 4) AS superseded,
       count(*) FILTER (WHERE s.entered) - count(*) FILTER (WHERE s.value IS NOT NULL AND s.verdict = 4) AS corrected
FROM superseded_samples s GROUP BY 1, 2;
COMMENT ON VIEW superseded_by_lane IS 'The accounting''s term for corrections: rows of samples = stored - superseded + corrected, while retention has taken none.';
COMMENT ON COLUMN superseded_by_lane.gateway_id IS 'Gateway that the tag had at the sample''s time.';
COMMENT ON COLUMN superseded_by_lane.lane IS 'Lane of that gateway.';
COMMENT ON COLUMN superseded_by_lane.superseded IS 'Samples from machines that are no longer as they were stored.';
COMMENT ON COLUMN superseded_by_lane.corrected IS 'Samples that corrections entered and that still stand.';

CREATE VIEW superseded_by_minute AS
SELECT date_trunc('minute', s.time, 'UTC') AS minute, count(*) FILTER (WHERE s.entered) - count(s.value) AS rows,
       wrap64(coalesce(sum(sample_hash(s.tag_id, s.time, s.new_value, s.quality)) FILTER (WHERE s.entered), 0)
              - coalesce(sum(sample_hash(s.tag_id, s.time, s.value, s.quality)) FILTER (WHERE s.value IS NOT NULL), 0)) AS checksum
FROM superseded_samples s GROUP BY 1;
COMMENT ON VIEW superseded_by_minute IS 'What corrections make samples differ from the ledger: to be added to ledger_minute before the two are compared.';
COMMENT ON COLUMN superseded_by_minute.minute IS 'Minute of the source time.';
COMMENT ON COLUMN superseded_by_minute.rows IS 'Rows that samples has more than ledger_minute.stored.';
COMMENT ON COLUMN superseded_by_minute.checksum IS 'What its checksum has more, two''s complement.';

DO $$
DECLARE
    wanted record;
BEGIN
    -- Columns mean in the view what they mean in the table.
    FOR wanted IN
        SELECT a.attname, col_description('corrections'::regclass, b.attnum) AS text
        FROM pg_attribute a JOIN pg_attribute b ON b.attrelid = 'corrections'::regclass AND b.attname = a.attname
        WHERE a.attrelid = 'correction'::regclass AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NULL
    LOOP
        EXECUTE format('COMMENT ON COLUMN correction.%I IS %L', wanted.attname, wanted.text);
    END LOOP;
    BEGIN
        CREATE ROLE millrace_engineer NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- roles belong to the whole cluster: another database made it
    END;
END $$;

GRANT USAGE ON SCHEMA public TO millrace_engineer;
GRANT millrace_reader TO millrace_engineer;
GRANT SELECT ON corrections, superseded_samples, correction, superseded, superseded_by_lane, superseded_by_minute TO millrace_reader;
REVOKE EXECUTE ON FUNCTION correct_samples, restore_samples, supersede_replayed, mark_corrected, check_correction FROM PUBLIC;
GRANT EXECUTE ON FUNCTION correct_samples, restore_samples TO millrace_engineer;
GRANT EXECUTE ON FUNCTION supersede_replayed TO millrace_writer;
