-- How long each resolution of each tag class is kept, when it is compressed and rolled up: rows that a function changes, read by maintenance.

CREATE TABLE storage_policy (
    resolution text NOT NULL CHECK (resolution IN ('samples', 'fine_windows', 'windows', 'hours', 'days', 'records')),
    tag_class text NOT NULL DEFAULT '*',
    keep interval CHECK (keep > interval '0'),
    compress_after interval CHECK (compress_after >= interval '0'),
    refresh_after interval CHECK (refresh_after >= interval '0'),
    dropped_before timestamptz NOT NULL DEFAULT '-infinity',
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL DEFAULT current_user,
    PRIMARY KEY (resolution, tag_class),
    CONSTRAINT kept_for_ever CHECK (resolution NOT IN ('hours', 'days') OR keep IS NULL),
    CONSTRAINT of_a_class CHECK (tag_class = '*' OR resolution IN ('samples', 'fine_windows', 'windows')),
    CONSTRAINT compressed_together CHECK (compress_after IS NULL OR tag_class = '*' AND resolution IN ('samples', 'windows', 'hours', 'days')),
    CONSTRAINT refreshed_together CHECK ((refresh_after IS NOT NULL) = (resolution IN ('hours', 'days')))
);
COMMENT ON TABLE storage_policy IS 'How long history is kept, and when it is compressed and rolled up. Change it with set_storage_policy.';
COMMENT ON COLUMN storage_policy.resolution IS
    'samples; fine_windows, shorter than a minute; windows, of a minute and longer; hours; days; records: refusals, events, minutes of the ledger.';
COMMENT ON COLUMN storage_policy.tag_class IS 'Tag class; * for all that have no row of their own.';
COMMENT ON COLUMN storage_policy.keep IS 'What is older is dropped; null: kept for ever. Hours and days always are.';
COMMENT ON COLUMN storage_policy.compress_after IS
    'A chunk is compressed, and what came late to it compressed anew, so long after its end; null: never. Of whole chunks, so not by class. TimescaleDB only.';
COMMENT ON COLUMN storage_policy.refresh_after IS 'An hour or day is rolled up so long after its end. Of all tags at once, so not by class.';
COMMENT ON COLUMN storage_policy.dropped_before IS 'What is older is gone: retention has been there.';
COMMENT ON COLUMN storage_policy.changed_at IS 'Last change of the policy.';
COMMENT ON COLUMN storage_policy.changed_by IS 'Role that made it.';

INSERT INTO storage_policy (resolution, keep, compress_after, refresh_after) VALUES
    -- A day more than validation accepts as not too old, so that whatever comes late finds the other samples of its windows.
    ('samples', '31 days', '2 hours', NULL),
    ('fine_windows', '7 days', NULL, NULL),
    ('windows', '366 days', '7 days', NULL),
    ('hours', NULL, '30 days', '2 minutes'),
    ('days', NULL, '366 days', '2 minutes'),
    ('records', '366 days', NULL, NULL);

CREATE FUNCTION storage_policy_of(resolution text, tag_class text) RETURNS storage_policy
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT p FROM storage_policy p WHERE p.resolution = $1 AND p.tag_class IN ($2, '*') ORDER BY p.tag_class = '*' LIMIT 1);
COMMENT ON FUNCTION storage_policy_of IS 'The policy that applies to a tag class at a resolution: its own, else that of *.';

CREATE FUNCTION check_storage_policy() RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    short record;
BEGIN
    SELECT c.tag_class, s.keep AS samples, w.keep AS windows INTO short
    FROM (SELECT DISTINCT p.tag_class FROM storage_policy p) c
    CROSS JOIN LATERAL storage_policy_of('samples', c.tag_class) s
    CROSS JOIN LATERAL storage_policy_of('windows', c.tag_class) w
    WHERE w.keep IS NOT NULL AND (s.keep IS NULL OR w.keep < s.keep)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'windows of class % would be kept for %, their samples for %', short.tag_class, short.windows, coalesce(short.samples::text, 'ever')
            USING HINT = 'Windows are computed anew from samples that come late, hours from windows: keep windows at least as long as samples.';
    END IF;
END $$;
COMMENT ON FUNCTION check_storage_policy IS 'Refuses policies under which windows would go before their samples.';

CREATE FUNCTION set_storage_policy(
    resolution text, tag_class text DEFAULT '*', keep text DEFAULT NULL, compress_after text DEFAULT NULL, refresh_after text DEFAULT NULL
) RETURNS storage_policy
LANGUAGE plpgsql AS $$
DECLARE
    base storage_policy := storage_policy_of($1, $2);
    found storage_policy;
BEGIN
    IF base IS NULL THEN
        RAISE EXCEPTION 'there is no resolution %', $1 USING HINT = 'It is samples, fine_windows, windows, hours, days or records.';
    END IF;
    IF $2 <> '*' AND NOT EXISTS (SELECT FROM tags t WHERE t.tag_class = $2) THEN
        RAISE EXCEPTION 'no tag has the class %', $2 USING HINT = 'SELECT DISTINCT tag_class FROM tags lists them; * is all without a policy of their own.';
    END IF;
    INSERT INTO storage_policy AS p (resolution, tag_class, keep, compress_after, refresh_after, dropped_before)
    VALUES ($1, $2, CASE WHEN $3 IS NULL THEN base.keep WHEN $3 <> 'forever' THEN $3::interval END,
            CASE WHEN $4 IS NOT NULL THEN CASE WHEN $4 <> 'never' THEN $4::interval END WHEN $2 = '*' THEN base.compress_after END,
            coalesce($5::interval, base.refresh_after), base.dropped_before)
    ON CONFLICT ON CONSTRAINT storage_policy_pkey DO UPDATE
    SET keep = EXCLUDED.keep, compress_after = EXCLUDED.compress_after, refresh_after = EXCLUDED.refresh_after, changed_at = now(), changed_by = current_user
    RETURNING p.* INTO found;
    PERFORM check_storage_policy();
    RETURN found;
END $$;
COMMENT ON FUNCTION set_storage_policy IS
    'Changes the policy of a resolution, of a tag class or of all: intervals as text, keep also forever, compress_after also never; what is null stays.';

CREATE FUNCTION unset_storage_policy(resolution text, tag_class text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    gone storage_policy;
BEGIN
    IF $2 = '*' THEN
        RAISE EXCEPTION 'the policy of * cannot be taken away' USING HINT = 'Change it with set_storage_policy.';
    END IF;
    DELETE FROM storage_policy p WHERE p.resolution = $1 AND p.tag_class = $2 RETURNING p.* INTO gone;
    -- What the class was kept for longer is still to go.
    UPDATE storage_policy p SET dropped_before = least(p.dropped_before, gone.dropped_before) WHERE p.resolution = $1 AND p.tag_class = '*' AND gone.resolution IS NOT NULL;
    PERFORM check_storage_policy();
    RETURN gone.resolution IS NOT NULL;
END $$;
COMMENT ON FUNCTION unset_storage_policy IS 'Takes the policy of a tag class away, so that of * applies; false when it had none.';

-- Policies are the owner's to change.
REVOKE EXECUTE ON FUNCTION set_storage_policy, unset_storage_policy FROM PUBLIC;

CREATE FUNCTION hours_without_windows(from_time timestamptz, to_time timestamptz) RETURNS TABLE (tag_id integer, hour timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    origin timestamptz := timestamptz '2000-01-01 00:00:00+00';
    at timestamptz := date_bin('1 hour', $1, origin);
    accepted numeric;
    folded numeric;
BEGIN
    WHILE at < $2 LOOP
        -- The ledger knows how many samples were accepted in the hour, and every one of them is in one window of each length of its tag.
        SELECT sum(l.stored + l.suppressed) INTO accepted FROM ledger_minute l WHERE l.minute >= at AND l.minute < at + interval '1 hour';
        SELECT sum(a.count) INTO folded
        FROM tags t
        CROSS JOIN LATERAL (SELECT min(w) AS window_s FROM unnest(t.windows_s) AS w WHERE w >= 60) f
        JOIN aggregates a ON a.tag_id = t.tag_id AND a.window_s = f.window_s AND a.start >= at AND a.start < at + interval '1 hour';
        IF accepted IS NULL OR accepted IS DISTINCT FROM folded THEN -- then look at the samples themselves
            RETURN QUERY
            SELECT s.tag_id, at
            FROM (SELECT x.tag_id, count(*) AS count FROM samples x WHERE x.time >= at AND x.time < at + interval '1 hour' GROUP BY 1) s
            JOIN tags t ON t.tag_id = s.tag_id
            CROSS JOIN LATERAL (SELECT min(w) AS window_s FROM unnest(t.windows_s) AS w WHERE w >= 60) f
            WHERE f.window_s IS NOT NULL AND s.count > coalesce((
                SELECT sum(a.count) FROM aggregates a
                WHERE a.tag_id = s.tag_id AND a.window_s = f.window_s AND a.start >= at AND a.start < at + interval '1 hour'), 0);
        END IF;
        at := at + interval '1 hour';
    END LOOP;
END $$;
COMMENT ON FUNCTION hours_without_windows IS 'Tags and hours of a range that have more samples than their windows count: retention must not take those samples yet.';

CREATE TABLE storage_size (
    resolution text PRIMARY KEY,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    compressed_rows bigint NOT NULL,
    compressed_bytes bigint NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE storage_size IS 'What each resolution takes on disk, measured by maintenance every ten minutes. Rows that are not compressed are estimated.';
COMMENT ON COLUMN storage_size.resolution IS 'samples, windows (of every length), hours or days.';
COMMENT ON COLUMN storage_size.rows IS 'Rows that are not compressed, as the planner estimates them.';
COMMENT ON COLUMN storage_size.bytes IS 'Their bytes on disk, with indexes.';
COMMENT ON COLUMN storage_size.compressed_rows IS 'Rows in compressed chunks of TimescaleDB.';
COMMENT ON COLUMN storage_size.compressed_bytes IS 'Their bytes on disk, with indexes.';
COMMENT ON COLUMN storage_size.measured_at IS 'When it was measured.';

CREATE FUNCTION estimated_rows(relation regclass) RETURNS bigint
LANGUAGE sql STABLE
RETURN (SELECT CASE WHEN c.reltuples > 0 AND c.relpages > 0 THEN c.reltuples::double precision / c.relpages * (pg_relation_size(c.oid) / 8192)
                    WHEN c.reltuples = 0 THEN 0
                    ELSE pg_relation_size(c.oid) / 100 END::bigint
        FROM pg_class c WHERE c.oid = relation);
COMMENT ON FUNCTION estimated_rows IS 'Rows of a table by its density when it was last analysed; before that at 100 bytes a row.';

GRANT SELECT ON storage_policy, storage_size TO millrace_reader;

COMMENT ON COLUMN dirty_ranges.reason IS 'BACKFILL, REPLAY, LATE, CONTESTED, CORRECTION, or RETENTION: samples about to go whose windows are not there.';
