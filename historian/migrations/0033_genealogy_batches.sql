-- Lots and batches: what a lot was made of and what became of it, what machines measured meanwhile, which lots saw an anomaly, and how a batch
-- differs from a golden one.

CREATE VIEW lot_step AS
SELECT c.lot AS consumed_lot, p.lot AS produced_lot, p.device_id, greatest(c.start_time, p.start_time) AS start_time,
       least(coalesce(c.end_time, 'infinity'), coalesce(p.end_time, 'infinity')) AS end_time
FROM material_actuals c
JOIN material_actuals p ON p.device_id = c.device_id AND p.use = 'PRODUCED' AND p.lot <> c.lot
    AND (p.job_response = c.job_response OR p.job_response IS NULL OR c.job_response IS NULL)
    AND p.start_time < coalesce(c.end_time, 'infinity') AND coalesce(p.end_time, 'infinity') > c.start_time
WHERE c.use = 'CONSUMED';
COMMENT ON VIEW lot_step IS 'A lot that was consumed on a machine while another was produced there, in the same execution where both name one.';
COMMENT ON COLUMN lot_step.consumed_lot IS 'Lot that went in.';
COMMENT ON COLUMN lot_step.produced_lot IS 'Lot that came out.';
COMMENT ON COLUMN lot_step.device_id IS 'Machine.';
COMMENT ON COLUMN lot_step.start_time IS 'Start of the time that both have in common.';
COMMENT ON COLUMN lot_step.end_time IS 'Its end; infinity while it goes on.';
GRANT SELECT ON lot_step TO millrace_reader;

CREATE FUNCTION lot_genealogy(lot text, way text DEFAULT 'both')
RETURNS TABLE (direction text, depth integer, lot_found text, material text, trail text[])
LANGUAGE plpgsql STABLE SET jit = off AS $$
BEGIN
    IF way NOT IN ('back', 'forward', 'both') THEN
        RAISE EXCEPTION 'way is %, not back, forward or both', quote_literal(way) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    WITH RECURSIVE walk AS (
        SELECT d.direction, 0 AS depth, lot_genealogy.lot AS lot, ARRAY[lot_genealogy.lot] AS trail
        FROM (VALUES ('back'), ('forward')) AS d(direction) WHERE way IN (d.direction, 'both')
        UNION ALL
        SELECT DISTINCT w.direction, w.depth + 1, s.lot, w.trail || s.lot
        FROM walk w
        CROSS JOIN LATERAL (
            SELECT x.consumed_lot AS lot FROM lot_step x WHERE w.direction = 'back' AND x.produced_lot = w.lot
            UNION
            SELECT x.produced_lot FROM lot_step x WHERE w.direction = 'forward' AND x.consumed_lot = w.lot
        ) s
        WHERE s.lot <> ALL (w.trail) AND w.depth < 50
    )
    SELECT DISTINCT ON (w.direction, w.lot) w.direction, w.depth, w.lot, m.material, w.trail
    FROM walk w LEFT JOIN material_lots m ON m.lot = w.lot
    WHERE w.depth > 0
    ORDER BY w.direction, w.lot, w.depth, w.trail;
END $$;
COMMENT ON FUNCTION lot_genealogy IS
    'Lots that a lot was made of (back), that were made of it (forward), or both, through any number of steps; each once, with a shortest way to it.';

CREATE FUNCTION lot_process_values(lot text)
RETURNS TABLE (lot_made text, depth integer, device_path text, start_time timestamptz, end_time timestamptz, name text, unit text, mean double precision,
               min double precision, max double precision, out_of_range_s double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH made AS (
        SELECT g.lot_found AS lot, g.depth FROM lot_genealogy(lot_process_values.lot, 'back') g
        UNION ALL
        SELECT lot_process_values.lot, 0
    ), steps AS MATERIALIZED (
        SELECT m.lot, m.depth, a.device_id, a.start_time, coalesce(a.end_time, now()) AS end_time
        FROM made m JOIN material_actuals a ON a.lot = m.lot AND a.use = 'PRODUCED'
    )
    SELECT s.lot, s.depth, p.path, s.start_time, s.end_time, t.name, t.unit, v.mean, v.min, v.max, v.below_s + v.above_s
    FROM steps s
    JOIN device_paths p ON p.device_id = s.device_id AND p.valid_from <= s.start_time AND p.valid_to > s.start_time
    JOIN tags t ON t.device_id = s.device_id AND t.data_type = 'DOUBLE' AND t.historise <> 'NONE' AND t.name <> 'energy'
    CROSS JOIN LATERAL time_weighted_stats(t.tag_id, s.start_time, s.end_time) v
    WHERE v.good_s > 0
$$;
COMMENT ON FUNCTION lot_process_values IS
    'Which process values saw a lot: of each machine on which it, or a lot that it was made of, was produced, the time-weighted mean and the extremes of every measured tag meanwhile, and the seconds outside of the tag''s EU range.';

CREATE FUNCTION anomaly_lots(episode uuid)
RETURNS TABLE (lot text, material text, use text, depth integer)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH touched AS (
        SELECT DISTINCT a.lot, a.use
        FROM anomaly e
        JOIN material_actuals a ON a.device_id = e.device_id AND a.start_time < coalesce(e.end_time, now()) AND coalesce(a.end_time, 'infinity') > e.start_time
        WHERE e.episode_id = episode
    ), reached AS (
        SELECT t.lot, t.use, 0 AS depth FROM touched t
        UNION ALL
        SELECT g.lot_found, 'DESCENDANT', g.depth FROM touched t CROSS JOIN LATERAL lot_genealogy(t.lot, 'forward') g WHERE t.use = 'PRODUCED'
    )
    SELECT DISTINCT ON (r.lot) r.lot, m.material, r.use, r.depth
    FROM reached r JOIN material_lots m USING (lot)
    ORDER BY r.lot, r.depth, r.use
$$;
COMMENT ON FUNCTION anomaly_lots IS
    'Which lots saw an anomaly: those consumed or produced on its machine meanwhile, and all that were made of the produced ones since (DESCENDANT).';

CREATE FUNCTION batch_profile(batch text, tag_name text, points integer DEFAULT 20)
RETURNS TABLE (phase text, phase_start timestamptz, duration_s double precision, point integer, value double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    SELECT p.phase, p.start_time, extract(epoch FROM x.until - p.start_time)::double precision, v.point::integer, v.value
    FROM batch_phases p
    CROSS JOIN LATERAL (SELECT coalesce(p.end_time, now()) AS until) x
    JOIN tags t ON t.device_id = p.device_id AND t.name = tag_name
    CROSS JOIN LATERAL (
        SELECT row_number() OVER (ORDER BY g.time) AS point, g.value FROM gap_filled(t.tag_id, p.start_time, x.until, (x.until - p.start_time) / points, 'linear') g
    ) v
    WHERE p.batch = batch_profile.batch AND v.point <= points
$$;
COMMENT ON FUNCTION batch_profile IS
    'A tag in the course of a batch, at so many evenly spaced points of each phase (the first one at its start), by linear interpolation: phases of different length become comparable.';

CREATE FUNCTION batch_deviation(batch text, golden text DEFAULT NULL, points integer DEFAULT 20)
RETURNS TABLE (golden_batch text, phase text, name text, unit text, duration_s double precision, golden_duration_s double precision, mean_deviation double precision,
               rms_deviation double precision, max_deviation double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH chosen AS (
        SELECT coalesce(batch_deviation.golden, (SELECT g.batch FROM batches g
                                 WHERE g.golden AND g.recipe = b.recipe AND g.version = b.version AND g.batch <> b.batch
                                 ORDER BY g.start_time DESC LIMIT 1)) AS golden
        FROM batches b WHERE b.batch = batch_deviation.batch
    ), measured AS (
        SELECT DISTINCT t.name, t.unit FROM batch_phases p JOIN tags t USING (device_id)
        WHERE p.batch = batch_deviation.batch AND t.data_type = 'DOUBLE' AND t.historise <> 'NONE' AND t.name <> 'energy'
    )
    SELECT c.golden, b.phase, m.name, m.unit, b.duration_s, g.duration_s, avg(b.value - g.value), sqrt(avg((b.value - g.value) ^ 2)), max(abs(b.value - g.value))
    FROM chosen c
    CROSS JOIN measured m
    CROSS JOIN LATERAL batch_profile(batch_deviation.batch, m.name, points) b
    JOIN LATERAL batch_profile(c.golden, m.name, points) g ON g.phase = b.phase AND g.point = b.point
    WHERE b.value IS NOT NULL AND g.value IS NOT NULL
    GROUP BY c.golden, b.phase, b.phase_start, m.name, m.unit, b.duration_s, g.duration_s
    ORDER BY b.phase_start, m.name
$$;
COMMENT ON FUNCTION batch_deviation IS
    'A batch against a golden one, phase by phase and tag by tag, both at the same shares of the phase: mean, root mean square and largest deviation. The golden batch is the newest other one of the recipe unless it is given.';
