-- Statistics of one tag over a range of time: weighted by time, at the points of a grid, as of a moment, and control charts (SPC).
-- Every function takes the tag's number, so the index on tag and time is used whatever the rest of the query is: tag_id_of(path) gives it. jit is off where compiling would take longer than the answer.

CREATE FUNCTION tag_id_of(path text) RETURNS integer
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    -- A device's path has six parts; what follows is the tag, in whose name a slash may be.
    SELECT t.tag_id
    FROM string_to_array(tag_id_of.path, '/') AS parts
    JOIN device_paths p ON p.path = array_to_string(parts[1:6], '/') AND p.valid_to = 'infinity'
    JOIN tags t ON t.device_id = p.device_id AND t.name = array_to_string(parts[7:], '/')
$$;
COMMENT ON FUNCTION tag_id_of IS 'Number of the tag that has this path now; null when there is none.';

CREATE FUNCTION device_id_of(path text) RETURNS integer
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT p.device_id FROM device_paths p WHERE p.path = device_id_of.path AND p.valid_to = 'infinity'
$$;
COMMENT ON FUNCTION device_id_of IS 'Number of the device that has this path now; null when there is none.';

CREATE FUNCTION value_steps(tag integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, value double precision, good boolean)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.low, s.high, s.value, quality_name(s.quality::integer) = 'good'
    FROM (
        SELECT greatest(p.time, from_time) AS low, least(lead(p.time) OVER (ORDER BY p.time), p.time + interval '1 hour', to_time, now()) AS high,
               p.value, p.quality
        FROM ((SELECT s.time, s.value, s.quality FROM samples s
               WHERE s.tag_id = tag AND s.time < from_time AND s.time >= from_time - interval '1 hour'
               ORDER BY s.time DESC LIMIT 1)
              UNION ALL
              SELECT s.time, s.value, s.quality FROM samples s WHERE s.tag_id = tag AND s.time >= from_time AND s.time < least(to_time, now())) p
    ) s
    WHERE s.high > s.low
$$;
COMMENT ON FUNCTION value_steps IS
    'How long each value of a tag held, within a range of time: until the next sample, an hour at most, and not beyond now; then nothing is known. The value at the start is looked for in the hour before.';

CREATE OR REPLACE FUNCTION time_weighted_mean(tag integer, from_time timestamptz, to_time timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sum(s.value * h.held_s) / nullif(sum(h.held_s), 0)
    FROM value_steps(tag, from_time, to_time) s
    CROSS JOIN LATERAL (SELECT extract(epoch FROM s.end_time - s.start_time)::double precision AS held_s) h
    WHERE s.good
$$;

CREATE OR REPLACE FUNCTION time_weighted_mean(tag_path text, from_time timestamptz, to_time timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
RETURN time_weighted_mean(tag_id_of(tag_path), from_time, to_time);

CREATE FUNCTION time_weighted_stats(tag integer, from_time timestamptz, to_time timestamptz, low double precision DEFAULT NULL, high double precision DEFAULT NULL)
RETURNS TABLE (mean double precision, stddev double precision, min double precision, max double precision, first double precision, last double precision,
               good_s double precision, not_good_s double precision, below_s double precision, in_range_s double precision, above_s double precision)
LANGUAGE sql STABLE PARALLEL SAFE SET jit = off AS $$
    WITH steps AS (
        SELECT s.*, extract(epoch FROM s.end_time - s.start_time)::double precision AS held_s FROM value_steps(tag, from_time, to_time) s
    ), middle AS (
        SELECT sum(s.value * s.held_s) / nullif(sum(s.held_s), 0) AS mean FROM steps s WHERE s.good
    ), bounds AS (
        SELECT coalesce(low, t.eu_low, '-infinity') AS low, coalesce(high, t.eu_high, 'infinity') AS high FROM tag_periods t
        WHERE t.tag_id = tag AND t.valid_from <= from_time AND t.valid_to > from_time
    )
    SELECT m.mean, sqrt(sum(s.held_s * (s.value - m.mean) ^ 2) FILTER (WHERE s.good) / nullif(sum(s.held_s) FILTER (WHERE s.good), 0)),
           min(s.value) FILTER (WHERE s.good), max(s.value) FILTER (WHERE s.good),
           (array_agg(s.value ORDER BY s.start_time) FILTER (WHERE s.good))[1], (array_agg(s.value ORDER BY s.start_time DESC) FILTER (WHERE s.good))[1],
           coalesce(sum(s.held_s) FILTER (WHERE s.good), 0), coalesce(sum(s.held_s) FILTER (WHERE NOT s.good), 0),
           coalesce(sum(s.held_s) FILTER (WHERE s.good AND s.value < b.low), 0),
           coalesce(sum(s.held_s) FILTER (WHERE s.good AND s.value >= b.low AND s.value <= b.high), 0),
           coalesce(sum(s.held_s) FILTER (WHERE s.good AND s.value > b.high), 0)
    FROM steps s CROSS JOIN middle m CROSS JOIN bounds b
    GROUP BY m.mean
$$;
COMMENT ON FUNCTION time_weighted_stats IS
    'Statistics of a tag weighted by how long each value held: mean and (population) standard deviation, extremes, first and last value, seconds with good and with other quality, and seconds below, in and above a range, which is the EU range that the tag had at the start unless it is given. No row when nothing is known.';

CREATE FUNCTION value_at(tag integer, at timestamptz, lookback interval DEFAULT '1 day')
RETURNS TABLE ("time" timestamptz, value double precision, quality text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.time, s.value, quality_name(s.quality::integer)
    FROM samples s
    WHERE s.tag_id = tag AND s.time <= at AND s.time > at - lookback
    ORDER BY s.time DESC LIMIT 1
$$;
COMMENT ON FUNCTION value_at IS 'Newest sample of a tag at or before a moment, looked for as far back as lookback says. No row when there is none.';

CREATE FUNCTION values_at(scope text, at timestamptz, lookback interval DEFAULT '1 day')
RETURNS TABLE (path text, name text, value double precision, unit text, quality text, "time" timestamptz, age interval, device_id integer, tag_id integer)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT p.path, p.name, v.value, p.unit, v.quality, v.time, at - v.time, p.device_id, p.tag_id
    FROM tag_periods p
    CROSS JOIN LATERAL value_at(p.tag_id, at, lookback) v
    WHERE scope_covers(scope, p.path) AND p.valid_from <= at AND p.valid_to > at
$$;
COMMENT ON FUNCTION values_at IS 'Values of all tags of a device, a line or a site as of a moment, with the paths and units of that moment.';

CREATE FUNCTION gap_filled(tag integer, from_time timestamptz, to_time timestamptz, every interval, method text DEFAULT 'step')
RETURNS TABLE ("time" timestamptz, value double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET jit = off AS $$
BEGIN
    IF method NOT IN ('step', 'linear') THEN
        RAISE EXCEPTION 'method is %, not step or linear', quote_literal(method) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    WITH known AS (
        SELECT s.time, CASE WHEN quality_name(s.quality::integer) = 'good' THEN s.value END AS value
        FROM samples s WHERE s.tag_id = tag AND s.time >= from_time - interval '1 hour' AND s.time < to_time + interval '1 hour'
    ), points AS (
        SELECT k.time, false AS wanted, k.value, lead(k.time) OVER w AS next_time, lead(k.value) OVER w AS next_value FROM known k WINDOW w AS (ORDER BY k.time)
        UNION ALL
        SELECT g, true, NULL, NULL, NULL FROM generate_series(from_time, to_time - interval '1 microsecond', every) AS g
    ), numbered AS (
        SELECT p.*, count(*) FILTER (WHERE NOT p.wanted) OVER (ORDER BY p.time, p.wanted) AS number FROM points p
    ), carried AS (
        SELECT n.time, n.wanted, n.number, first_value(n.time) OVER w AS from_time, first_value(n.value) OVER w AS from_value,
               first_value(n.next_time) OVER w AS next_time, first_value(n.next_value) OVER w AS next_value
        FROM numbered n WINDOW w AS (PARTITION BY n.number ORDER BY n.time, n.wanted)
    )
    SELECT c.time, CASE WHEN c.number = 0 THEN NULL
                        WHEN method = 'step' OR c.time = c.from_time THEN c.from_value
                        ELSE c.from_value + (c.next_value - c.from_value)
                             * (extract(epoch FROM c.time - c.from_time) / nullif(extract(epoch FROM c.next_time - c.from_time), 0))::double precision END
    FROM carried c WHERE c.wanted ORDER BY c.time;
END $$;
COMMENT ON FUNCTION gap_filled IS
    'Values of a tag at the points of a grid: step holds the last value, linear draws a line to the next one. Null where the value before is more than an hour before the range or of bad quality; with linear also where the next one is.';

-- Control charts: X-bar and R of subgroups of n consecutive samples.

CREATE FUNCTION spc_constants(n integer, OUT a2 double precision, OUT d2 double precision, OUT d3 double precision, OUT d4 double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT c.a2, c.d2, c.d3, c.d4
    FROM (VALUES (2, 1.880, 1.128, 0, 3.267), (3, 1.023, 1.693, 0, 2.574), (4, 0.729, 2.059, 0, 2.282), (5, 0.577, 2.326, 0, 2.114),
                 (6, 0.483, 2.534, 0, 2.004), (7, 0.419, 2.704, 0.076, 1.924), (8, 0.373, 2.847, 0.136, 1.864), (9, 0.337, 2.970, 0.184, 1.816),
                 (10, 0.308, 3.078, 0.223, 1.777)) AS c(n, a2, d2, d3, d4)
    WHERE c.n = spc_constants.n
$$;
COMMENT ON FUNCTION spc_constants IS 'Constants of X-bar and R charts for subgroups of 2 to 10; null for other sizes.';

CREATE FUNCTION spc_subgroups(tag integer, from_time timestamptz, to_time timestamptz, n integer DEFAULT 5, state text DEFAULT NULL)
RETURNS TABLE (number bigint, start_time timestamptz, end_time timestamptz, mean double precision, range double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH wanted AS (
        SELECT i.start_time AS low, i.end_time AS high
        FROM tags t CROSS JOIN LATERAL state_intervals(t.device_id, from_time, to_time) i
        WHERE t.tag_id = tag AND state IS NOT NULL AND i.packml_state = state
        UNION ALL
        SELECT from_time, to_time WHERE state IS NULL
    ), measured AS (
        SELECT s.time, s.value, (row_number() OVER (ORDER BY s.time) - 1) / n AS subgroup
        FROM wanted w
        -- OFFSET 0 keeps this a read of one tag and one range at a time.
        CROSS JOIN LATERAL (SELECT x.time, x.value FROM samples x
                            WHERE x.tag_id = tag AND x.time >= w.low AND x.time < w.high AND quality_name(x.quality::integer) = 'good' OFFSET 0) s
    )
    SELECT m.subgroup + 1, min(m.time), max(m.time), avg(m.value), max(m.value) - min(m.value)
    FROM measured m GROUP BY m.subgroup HAVING count(*) = n ORDER BY m.subgroup
$$;
COMMENT ON FUNCTION spc_subgroups IS
    'Subgroups of n consecutive good samples of a tag, with mean and range; only samples taken in the PackML state when one is given, such as EXECUTE. A last subgroup that is not full is left out.';

CREATE FUNCTION spc_limits(tag integer, from_time timestamptz, to_time timestamptz, n integer DEFAULT 5, state text DEFAULT NULL,
                           lsl double precision DEFAULT NULL, usl double precision DEFAULT NULL)
RETURNS TABLE (subgroups bigint, mean double precision, lcl double precision, ucl double precision, range_mean double precision, range_lcl double precision,
               range_ucl double precision, sigma double precision, lower_spec double precision, upper_spec double precision, cp double precision, cpk double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH charted AS (
        SELECT count(*) AS subgroups, avg(g.mean) AS mean, avg(g.range) AS range_mean FROM spc_subgroups(tag, from_time, to_time, n, state) g
    )
    SELECT c.subgroups, c.mean, c.mean - k.a2 * c.range_mean, c.mean + k.a2 * c.range_mean, c.range_mean, k.d3 * c.range_mean, k.d4 * c.range_mean,
           s.sigma, l.lsl, l.usl, (l.usl - l.lsl) / nullif(6 * s.sigma, 0), least(l.usl - c.mean, c.mean - l.lsl) / nullif(3 * s.sigma, 0)
    FROM charted c
    CROSS JOIN spc_constants(n) k
    CROSS JOIN LATERAL (SELECT c.range_mean / k.d2 AS sigma) s
    CROSS JOIN (SELECT coalesce(spc_limits.lsl, t.eu_low) AS lsl, coalesce(spc_limits.usl, t.eu_high) AS usl FROM tag_periods t
                WHERE t.tag_id = tag AND t.valid_from <= from_time AND t.valid_to > from_time) l
$$;
COMMENT ON FUNCTION spc_limits IS
    'Control limits of X-bar and R charts (n of 2 to 10), the spread within subgroups (sigma = mean range / d2), and Cp and Cpk against the specification limits, which are the EU range that the tag had at the start unless they are given.';

CREATE FUNCTION spc_points(tag integer, from_time timestamptz, to_time timestamptz, n integer DEFAULT 5, state text DEFAULT NULL,
                           baseline_from timestamptz DEFAULT NULL, baseline_to timestamptz DEFAULT NULL)
RETURNS TABLE (number bigint, start_time timestamptz, end_time timestamptz, mean double precision, range double precision, lcl double precision,
               ucl double precision, rules integer[], range_out boolean)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH limits AS (
        SELECT * FROM spc_limits(tag, coalesce(baseline_from, from_time), coalesce(baseline_to, to_time), n, state)
    ), scaled AS (
        SELECT g.*, l.lcl, l.ucl, l.range_lcl, l.range_ucl, 3 * (g.mean - l.mean) / nullif(l.ucl - l.mean, 0) AS z
        FROM spc_subgroups(tag, from_time, to_time, n, state) g CROSS JOIN limits l
    ), judged AS (
        SELECT s.*, abs(s.z) > 3 AS rule_1,
               s.z > 2 AND count(*) FILTER (WHERE s.z > 2) OVER three >= 2 OR s.z < -2 AND count(*) FILTER (WHERE s.z < -2) OVER three >= 2 AS rule_2,
               s.z > 1 AND count(*) FILTER (WHERE s.z > 1) OVER five >= 4 OR s.z < -1 AND count(*) FILTER (WHERE s.z < -1) OVER five >= 4 AS rule_3,
               count(*) FILTER (WHERE s.z > 0) OVER eight = 8 OR count(*) FILTER (WHERE s.z < 0) OVER eight = 8 AS rule_4
        FROM scaled s
        WINDOW three AS (ORDER BY s.number ROWS 2 PRECEDING), five AS (ORDER BY s.number ROWS 4 PRECEDING), eight AS (ORDER BY s.number ROWS 7 PRECEDING)
    )
    SELECT j.number, j.start_time, j.end_time, j.mean, j.range, j.lcl, j.ucl,
           array_remove(ARRAY[CASE WHEN j.rule_1 THEN 1 END, CASE WHEN j.rule_2 THEN 2 END, CASE WHEN j.rule_3 THEN 3 END, CASE WHEN j.rule_4 THEN 4 END], NULL),
           j.range > j.range_ucl OR j.range < j.range_lcl
    FROM judged j ORDER BY j.number
$$;
COMMENT ON FUNCTION spc_points IS
    'Points of X-bar and R charts, with the Western Electric rules that each completes: 1 a point beyond 3 sigma, 2 two of three beyond 2 sigma, 3 four of five beyond 1 sigma, 4 eight in a row on one side (2 and 3: on the same side, the point itself among them). The limits are those of the baseline, or of the range itself without one.';
