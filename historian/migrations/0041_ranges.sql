-- Ranges of time in the answers, by one rule: from inclusive, to exclusive; an empty one, or one with a bound that is null, has no rows; one that
-- ends before it begins is an error that says so; what has not come yet is in no figure of what machines did. Before, a range that began in the
-- future failed in oee_between with an error of PostgreSQL's, and a reversed one gave no rows, nonsense or that error, by function.
--
-- And states, stops and calendars of many machines in one call each. A function that was called for each machine planned all that it is made
-- of for each of them, which took longer than the answer: 38 machines and a week took seconds. Machines under one calendar ask for its
-- shifts once.

CREATE FUNCTION is_range(from_time timestamptz, to_time timestamptz) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF from_time > to_time THEN
        RAISE EXCEPTION 'the range ends at %, before it begins at %', to_time, from_time
            USING ERRCODE = 'invalid_parameter_value', HINT = 'The start comes first, then the end.';
    END IF;
    RETURN coalesce(from_time < to_time, false);
END $$;
COMMENT ON FUNCTION is_range IS 'Whether a range of time has any time in it: false when it is empty or a bound is null; an error when it ends before it begins.';

-- Values.

CREATE OR REPLACE FUNCTION value_steps(tag integer, from_time timestamptz, to_time timestamptz)
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
        WHERE is_range(from_time, to_time)
    ) s
    WHERE s.high > s.low
$$;

CREATE OR REPLACE FUNCTION gap_filled(tag integer, from_time timestamptz, to_time timestamptz, every interval, method text DEFAULT 'step')
RETURNS TABLE ("time" timestamptz, value double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET jit = off AS $$
BEGIN
    IF method NOT IN ('step', 'linear') THEN
        RAISE EXCEPTION 'method is %, not step or linear', quote_literal(method) USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT is_range(from_time, to_time) THEN
        RETURN;
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

CREATE OR REPLACE FUNCTION counter_steps(tag integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, previous_time timestamptz, growth double precision)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.time, c.previous_time, greatest(c.value - c.previous, 0)
    FROM (SELECT s.time, s.value, lag(s.time) OVER w AS previous_time, lag(s.value) OVER w AS previous
          FROM samples s
          WHERE s.tag_id = tag AND s.time >= from_time - interval '1 hour' AND s.time < least(to_time, now()) AND quality_name(s.quality::integer) = 'good'
          WINDOW w AS (ORDER BY s.time)) c
    WHERE c.time >= from_time AND c.previous IS NOT NULL AND is_range(from_time, to_time)
$$;

-- Control charts.

CREATE OR REPLACE FUNCTION spc_subgroups(tag integer, from_time timestamptz, to_time timestamptz, n integer DEFAULT 5, state text DEFAULT NULL)
RETURNS TABLE (number bigint, start_time timestamptz, end_time timestamptz, mean double precision, range double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH wanted AS (
        SELECT i.start_time AS low, i.end_time AS high
        FROM tags t CROSS JOIN LATERAL state_intervals(t.device_id, from_time, to_time) i
        WHERE t.tag_id = tag AND state IS NOT NULL AND i.packml_state = state
        UNION ALL
        SELECT from_time, to_time WHERE state IS NULL AND is_range(from_time, to_time)
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

CREATE OR REPLACE FUNCTION spc_limits(tag integer, from_time timestamptz, to_time timestamptz, n integer DEFAULT 5, state text DEFAULT NULL,
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
    WHERE is_range(from_time, to_time)
$$;

-- Calendars.

CREATE OR REPLACE FUNCTION work_days(place text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (day date, pattern text, time_zone text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT DISTINCT ON (d.day) d.day::date, c.pattern, p.time_zone, d.day AT TIME ZONE p.time_zone, (d.day + interval '1 day') AT TIME ZONE p.time_zone
    FROM work_calendars c
    JOIN shift_patterns p ON p.name = c.pattern
    -- Two days before and after: a shift from the day before, and those that may cut it.
    CROSS JOIN LATERAL generate_series(greatest(c.valid_from, (from_time AT TIME ZONE p.time_zone)::date - 2)::timestamp,
                                       least(c.valid_to - 1, (to_time AT TIME ZONE p.time_zone)::date + 2)::timestamp, interval '1 day') AS d(day)
    WHERE scope_covers(c.scope, place) AND is_range(from_time, to_time)
    ORDER BY d.day, length(c.scope) DESC
$$;

CREATE OR REPLACE FUNCTION shifts_between(place text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (shift text, shift_day date, start_time timestamptz, end_time timestamptz)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    WITH days AS (
        SELECT w.day, w.pattern, w.time_zone FROM work_days(place, from_time, to_time) w
    ), said AS (
        SELECT e.day, e.shift, e.kind, e.starts, e.ends, length(e.scope) AS rank
        FROM work_calendar_exceptions e JOIN days USING (day) WHERE scope_covers(e.scope, place)
    ), closed AS (
        SELECT day, max(rank) AS rank FROM said WHERE kind = 'CLOSED' AND shift = '' GROUP BY day
    ), replaced AS ( -- what the longest scope says of a shift of the pattern
        SELECT DISTINCT ON (day, shift) * FROM said WHERE kind <> 'EXTRA' AND shift <> '' ORDER BY day, shift, rank DESC
    ), wanted AS (
        SELECT d.day, s.shift, s.starts, s.ends
        FROM days d JOIN shift_pattern_shifts s ON s.pattern = d.pattern AND extract(isodow FROM d.day)::integer = ANY (s.weekdays)
        WHERE NOT EXISTS (SELECT FROM closed c WHERE c.day = d.day)
          AND NOT EXISTS (SELECT FROM replaced r WHERE r.day = d.day AND r.shift = s.shift)
        UNION ALL
        SELECT r.day, r.shift, r.starts, r.ends
        FROM replaced r LEFT JOIN closed c USING (day)
        WHERE r.kind = 'CHANGED' AND r.rank >= coalesce(c.rank, 0)
        UNION ALL
        SELECT e.day, e.shift, e.starts, e.ends
        FROM said e LEFT JOIN closed c USING (day) LEFT JOIN replaced r USING (day, shift)
        WHERE e.kind = 'EXTRA' AND e.rank >= coalesce(c.rank, 0) AND e.rank >= coalesce(r.rank, 0)
    ), timed AS (
        SELECT w.day, w.shift, row_number() OVER (ORDER BY t.begins, w.day, w.shift, t.until) AS ordinal, tstzrange(t.begins, t.until) AS span
        FROM wanted w JOIN days d USING (day)
        CROSS JOIN LATERAL (
            SELECT (w.day + w.starts) AT TIME ZONE d.time_zone AS begins,
                   (w.day + w.ends + CASE WHEN w.ends <= w.starts THEN interval '1 day' ELSE interval '0' END) AT TIME ZONE d.time_zone AS until
        ) t
        WHERE t.begins < t.until -- a shift within the hour that spring leaves out has no time
    ), cut AS (
        SELECT t.shift, t.day, tstzmultirange(t.span) - coalesce(range_agg(o.span) FILTER (WHERE o.ordinal > t.ordinal AND o.span && t.span), '{}') AS spans
        FROM timed t
        CROSS JOIN generate_series(-1, 2) AS k
        LEFT JOIN timed o ON o.day = t.day + k
        GROUP BY t.shift, t.day, t.ordinal, t.span
    )
    SELECT c.shift, c.day, lower(s.span), upper(s.span)
    FROM cut c CROSS JOIN LATERAL unnest(c.spans) AS s(span)
    WHERE is_range(from_time, to_time) AND lower(s.span) < to_time AND upper(s.span) > from_time
    ORDER BY 3
$$;

CREATE FUNCTION calendars_of(devices integer[], from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, start_time timestamptz, end_time timestamptz, shift text, shift_day date)
LANGUAGE sql STABLE PARALLEL SAFE SET jit = off AS $$
    WITH places AS ( -- a machine moves: the calendar of where it stood, which is that of the longest scope with anything to say
        SELECT p.device_id, coalesce(c.scope, '') AS scope, greatest(p.valid_from, from_time) AS since, least(p.valid_to, to_time) AS until
        FROM device_paths p
        LEFT JOIN LATERAL (
            SELECT s.scope FROM (SELECT w.scope FROM work_calendars w UNION SELECT e.scope FROM work_calendar_exceptions e) s
            WHERE scope_covers(s.scope, p.path) ORDER BY length(s.scope) DESC LIMIT 1
        ) c ON true
        WHERE p.device_id = ANY (devices) AND p.valid_from < to_time AND p.valid_to > from_time AND is_range(from_time, to_time)
    ), calendars AS MATERIALIZED (
        SELECT DISTINCT p.scope, p.since, p.until FROM places p
    ), shifts AS MATERIALIZED (
        SELECT c.*, tstzrange(c.since, c.until) * tstzrange(s.start_time, s.end_time) AS span, s.shift, s.shift_day
        FROM calendars c CROSS JOIN LATERAL shifts_between(c.scope, c.since, c.until) s
    ), free AS (
        SELECT c.*, tstzmultirange(tstzrange(c.since, c.until)) - d.spans - coalesce(s.spans, '{}') AS spans
        FROM calendars c
        CROSS JOIN LATERAL (
            SELECT coalesce(range_agg(tstzrange(w.start_time, w.end_time)), '{}') AS spans FROM work_days(c.scope, c.since, c.until) w
        ) d
        LEFT JOIN (SELECT x.scope, x.since, x.until, range_agg(x.span) AS spans FROM shifts x GROUP BY 1, 2, 3) s USING (scope, since, until)
    ), stretches AS (
        SELECT s.* FROM shifts s WHERE NOT isempty(s.span)
        UNION ALL
        SELECT f.scope, f.since, f.until, r.span, NULL, NULL FROM free f CROSS JOIN LATERAL unnest(f.spans) AS r(span)
    )
    SELECT p.device_id, lower(s.span), upper(s.span), s.shift, s.shift_day
    FROM places p JOIN stretches s USING (scope, since, until)
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION calendars_of IS
    'Time in which each of several machines was to work by its calendars, cut to the range. On days without a calendar that is all time, without a shift.';

CREATE OR REPLACE FUNCTION calendar_time(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, shift text, shift_day date)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.start_time, c.end_time, c.shift, c.shift_day FROM calendars_of(ARRAY[device], from_time, to_time) c ORDER BY 1
$$;

-- States and stops.

CREATE FUNCTION states_of(devices integer[], from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, packml_state text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE SET jit = off AS $$
    WITH points AS (
        SELECT t.device_id, s.time, s.state
        FROM tags t
        -- OFFSET 0 keeps this a read of one tag at a time.
        CROSS JOIN LATERAL (SELECT x.time, packml_state_name(x.value::integer) AS state FROM samples x
                            WHERE x.tag_id = t.tag_id AND x.time >= from_time - interval '1 hour' AND x.time < least(to_time, now())
                              AND quality_name(x.quality::integer) = 'good' OFFSET 0) s
        WHERE t.device_id = ANY (devices) AND t.name = 'packml_state' AND is_range(from_time, to_time)
    ), steps AS (
        -- The state is stored when it changes and at least every ten minutes: an hour after the last word nobody knows it.
        SELECT p.device_id, p.state, p.time,
               least(lead(p.time, 1, 'infinity') OVER (PARTITION BY p.device_id ORDER BY p.time), p.time + interval '1 hour', to_time, now()) AS until
        FROM points p
    ), held AS (
        SELECT s.device_id, s.state, greatest(s.time, from_time) AS time, s.until FROM steps s WHERE s.until > greatest(s.time, from_time) AND s.state IS NOT NULL
    ), marked AS (
        SELECT h.*, (lag(h.state) OVER w IS DISTINCT FROM h.state OR lag(h.until) OVER w < h.time)::integer AS begins
        FROM held h WINDOW w AS (PARTITION BY h.device_id ORDER BY h.time)
    ), counted AS (
        SELECT m.*, sum(m.begins) OVER (PARTITION BY m.device_id ORDER BY m.time) AS run FROM marked m
    )
    SELECT c.device_id, min(c.state), min(c.time), max(c.until) FROM counted c GROUP BY c.device_id, c.run ORDER BY 1, 3
$$;
COMMENT ON FUNCTION states_of IS 'state_intervals of several machines at once.';

CREATE OR REPLACE FUNCTION state_intervals(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (packml_state text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.packml_state, s.start_time, s.end_time FROM states_of(ARRAY[device], from_time, to_time) s ORDER BY 2
$$;

CREATE FUNCTION words_of(devices integer[], from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, start_time timestamptz, end_time timestamptz, entry uuid, reason text, entered_by text)
LANGUAGE sql STABLE PARALLEL SAFE SET jit = off AS $$
    WITH said AS (
        SELECT e.device_id, e.ordinal, e.entry, e.reason, e.entered_by, tstzrange(from_time, to_time) * tstzrange(e.start_time, x.until) AS span
        FROM downtime_entries e
        CROSS JOIN LATERAL (
            SELECT CASE WHEN e.end_time IS NOT NULL THEN e.end_time ELSE (
                SELECT s.time FROM samples s
                WHERE s.tag_id = (SELECT t.tag_id FROM tags t WHERE t.device_id = e.device_id AND t.name = 'packml_state')
                  AND s.time >= e.start_time AND s.time < to_time AND s.value = 6 AND quality_name(s.quality::integer) = 'good'
                ORDER BY s.time LIMIT 1) END AS until
        ) x
        WHERE is_range(from_time, to_time) AND e.device_id = ANY (devices) AND tstzrange(e.start_time, e.end_time) && tstzrange(from_time, to_time)
          AND (x.until IS NULL OR x.until > greatest(e.start_time, from_time))
    )
    SELECT c.device_id, lower(r.span), upper(r.span), c.entry, c.reason, c.entered_by
    FROM (
        SELECT s.device_id, s.entry, s.reason, s.entered_by, tstzmultirange(s.span) - coalesce(range_agg(o.span), '{}') AS spans
        FROM said s LEFT JOIN said o ON o.device_id = s.device_id AND o.ordinal > s.ordinal AND o.span && s.span
        GROUP BY s.device_id, s.entry, s.reason, s.entered_by, s.span
    ) c
    CROSS JOIN LATERAL unnest(c.spans) AS r(span)
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION words_of IS 'For each moment of a range of time, the entry about the stops of each of several machines that was entered last.';

CREATE OR REPLACE FUNCTION downtime_words(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, entry uuid, reason text, entered_by text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT w.start_time, w.end_time, w.entry, w.reason, w.entered_by FROM words_of(ARRAY[device], from_time, to_time) w ORDER BY 1
$$;

CREATE FUNCTION stops_of(devices integer[], from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, start_time timestamptz, end_time timestamptz, packml_state text, reason text, planned boolean, entered_by text, entry uuid)
LANGUAGE sql STABLE PARALLEL SAFE SET jit = off AS $$
    WITH states AS MATERIALIZED (
        SELECT i.device_id, i.packml_state AS state, tstzrange(i.start_time, i.end_time) AS span FROM states_of(devices, from_time, to_time) i
    ), words AS MATERIALIZED (
        SELECT w.device_id, w.entry, w.reason, w.entered_by, tstzrange(w.start_time, w.end_time) AS span
        FROM words_of(devices, from_time, to_time) w WHERE w.reason IS NOT NULL
    ), automatic AS (
        SELECT DISTINCT ON (d.device_id, p.packml_state) d.device_id, p.packml_state AS state, p.reason
        FROM packml_reasons p JOIN devices d ON d.device_id = ANY (devices)
        WHERE p.device_class IS NULL OR p.device_class = d.device_class
        ORDER BY d.device_id, p.packml_state, p.device_class NULLS LAST
    ), pieces AS (
        SELECT s.device_id, s.span * w.span AS span, s.state, w.reason, w.entered_by, w.entry
        FROM states s JOIN words w ON w.device_id = s.device_id AND w.span && s.span WHERE s.state <> 'EXECUTE'
        UNION ALL
        SELECT s.device_id, r.span, s.state, a.reason, NULL, NULL
        FROM states s
        LEFT JOIN (SELECT w.device_id, range_agg(w.span) AS spans FROM words w GROUP BY 1) said ON said.device_id = s.device_id
        CROSS JOIN LATERAL unnest(tstzmultirange(s.span) - coalesce(said.spans, '{}')) AS r(span)
        LEFT JOIN automatic a ON a.device_id = s.device_id AND a.state = s.state
        WHERE s.state <> 'EXECUTE'
        UNION ALL
        SELECT w.device_id, r.span, NULL, w.reason, w.entered_by, w.entry
        FROM words w
        LEFT JOIN (SELECT s.device_id, range_agg(s.span) AS spans FROM states s GROUP BY 1) known ON known.device_id = w.device_id
        CROSS JOIN LATERAL unnest(tstzmultirange(w.span) - coalesce(known.spans, '{}')) AS r(span)
    )
    SELECT p.device_id, lower(p.span), upper(p.span), p.state, p.reason, coalesce(d.planned, false), p.entered_by, p.entry
    FROM pieces p LEFT JOIN downtime_reasons d USING (reason)
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION stops_of IS 'stops of several machines at once.';

CREATE OR REPLACE FUNCTION stops(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, packml_state text, reason text, planned boolean, entered_by text, entry uuid)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.start_time, s.end_time, s.packml_state, s.reason, s.planned, s.entered_by, s.entry FROM stops_of(ARRAY[device], from_time, to_time) s ORDER BY 1
$$;

CREATE FUNCTION planned_busy_of(devices integer[], from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, start_time timestamptz, end_time timestamptz, shift text, shift_day date)
LANGUAGE sql STABLE PARALLEL SAFE SET jit = off AS $$
    WITH planned AS (
        SELECT s.device_id, range_agg(tstzrange(s.start_time, s.end_time)) AS spans FROM stops_of(devices, from_time, to_time) s WHERE s.planned GROUP BY 1
    )
    SELECT c.device_id, lower(r.span), upper(r.span), c.shift, c.shift_day
    FROM calendars_of(devices, from_time, to_time) c
    LEFT JOIN planned p USING (device_id)
    CROSS JOIN LATERAL unnest(tstzmultirange(tstzrange(c.start_time, c.end_time)) - coalesce(p.spans, '{}')) AS r(span)
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION planned_busy_of IS 'planned_busy of several machines at once.';

CREATE OR REPLACE FUNCTION planned_busy(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, shift text, shift_day date)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT b.start_time, b.end_time, b.shift, b.shift_day FROM planned_busy_of(ARRAY[device], from_time, to_time) b ORDER BY 1
$$;

CREATE OR REPLACE FUNCTION downtimes_between(scope text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, start_time timestamptz, end_time timestamptz, packml_state text, reason text, planned boolean, entered_by text,
               entry uuid, device_path text)
LANGUAGE sql STABLE PARALLEL SAFE SET jit = off AS $$
    WITH places AS MATERIALIZED (
        SELECT d.device_id, d.path, tstzrange(greatest(d.valid_from, from_time), least(d.valid_to, to_time)) AS span
        FROM device_paths d
        WHERE is_range(from_time, to_time) AND ($1 = '' OR scope_covers($1, d.path)) AND d.valid_from < to_time AND d.valid_to > from_time
    ), machines AS (
        SELECT array_agg(DISTINCT p.device_id) AS ids FROM places p
    ), calendar AS ( -- shifts that follow one another are one stretch: a stop is not cut where they change
        SELECT c.device_id, range_agg(tstzrange(c.start_time, c.end_time)) AS spans
        FROM machines m CROSS JOIN LATERAL calendars_of(m.ids, from_time, to_time) c GROUP BY 1
    ), stretches AS MATERIALIZED (
        SELECT p.device_id, p.path, r.span
        FROM places p JOIN calendar c USING (device_id) CROSS JOIN LATERAL unnest(tstzmultirange(p.span) * c.spans) AS r(span)
    )
    SELECT s.device_id, greatest(s.start_time, lower(c.span)), least(s.end_time, upper(c.span)), s.packml_state, s.reason, s.planned, s.entered_by, s.entry, c.path
    FROM machines m
    CROSS JOIN LATERAL stops_of(m.ids, from_time, to_time) s
    JOIN stretches c ON c.device_id = s.device_id AND c.span && tstzrange(s.start_time, s.end_time)
    ORDER BY 1, 2
$$;
COMMENT ON FUNCTION downtimes_between IS
    'Stops within calendar time of all machines that stood in a scope (empty: anywhere): one row per state and reason; rows without a gap between them are one stop. packml_state is null where nobody knows it, reason is null where nobody and nothing gives one.';

CREATE FUNCTION until_now(from_time timestamptz, to_time timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN is_range(from_time, to_time) THEN greatest(from_time, least(to_time, now())) END
$$;
COMMENT ON FUNCTION until_now IS 'End of the part of a range that has come: of a range in the future its start, so that nothing is left; null without a range.';

-- Answers.

CREATE OR REPLACE FUNCTION production_segments(scope text, from_time timestamptz, to_time timestamptz, hourly boolean DEFAULT false)
RETURNS TABLE (device_id integer, path text, segment bigint, start_time timestamptz, end_time timestamptz, planned boolean, shift text, shift_day date,
               job_order text, material text, ideal_s double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH machines AS MATERIALIZED (
        SELECT p.device_id, p.path, greatest(p.valid_from, from_time) AS low, least(p.valid_to, u.until) AS high
        FROM (SELECT until_now(from_time, to_time) AS until) u
        JOIN device_paths p ON (scope = '' OR scope_covers(scope, p.path)) AND p.valid_from < u.until AND p.valid_to > from_time
        WHERE u.until > from_time AND EXISTS (SELECT FROM tags t WHERE t.device_id = p.device_id AND t.name = 'packml_state')
    ), of AS (
        SELECT array_agg(DISTINCT m.device_id) AS ids, min(m.low) AS low, max(m.high) AS high FROM machines m
    ), shifts AS MATERIALIZED (
        SELECT c.* FROM of CROSS JOIN LATERAL calendars_of(of.ids, of.low, of.high) c
    ), busy AS MATERIALIZED (
        SELECT b.* FROM of CROSS JOIN LATERAL planned_busy_of(of.ids, of.low, of.high) b
    ), jobs AS MATERIALIZED (
        SELECT r.device_id, r.start_time, coalesce(r.end_time, 'infinity') AS end_time, o.job_order, o.material
        FROM of
        JOIN job_responses r ON r.device_id = ANY (of.ids) AND r.start_time < of.high AND coalesce(r.end_time, 'infinity') > of.low
        JOIN job_orders o USING (job_order)
    ), marks AS (
        SELECT s.device_id, unnest(ARRAY[s.start_time, s.end_time]) AS at FROM shifts s
        UNION SELECT b.device_id, unnest(ARRAY[b.start_time, b.end_time]) FROM busy b
        UNION SELECT j.device_id, unnest(ARRAY[j.start_time, j.end_time]) FROM jobs j
    ), cuts AS (
        SELECT m.device_id, m.path, m.low, m.high, m.low AS at FROM machines m
        UNION SELECT m.device_id, m.path, m.low, m.high, k.at FROM machines m JOIN marks k USING (device_id) WHERE k.at >= m.low AND k.at < m.high
        UNION SELECT m.device_id, m.path, m.low, m.high, k.at
        FROM machines m
        JOIN ideal_cycle_times i ON scope_covers(i.scope, m.path)
        CROSS JOIN LATERAL unnest(ARRAY[i.valid_from, i.valid_to]) AS k(at) WHERE k.at >= m.low AND k.at < m.high
        UNION SELECT m.device_id, m.path, m.low, m.high, k.at
        FROM machines m CROSS JOIN LATERAL generate_series(date_trunc('hour', m.low, 'UTC'), m.high, interval '1 hour') AS k(at)
        WHERE hourly AND k.at >= m.low AND k.at < m.high
    ), pieces AS (
        SELECT c.device_id, c.path, c.at AS start_time, lead(c.at, 1, c.high) OVER (PARTITION BY c.device_id, c.low ORDER BY c.at) AS end_time FROM cuts c
    )
    SELECT p.device_id, p.path, 2 * row_number() OVER (PARTITION BY p.device_id ORDER BY p.start_time), p.start_time, p.end_time, b.start_time IS NOT NULL,
           s.shift, s.shift_day, j.job_order, j.material, ideal_cycle_time_at(p.device_id, j.material, p.start_time)
    FROM pieces p
    LEFT JOIN shifts s ON s.device_id = p.device_id AND s.start_time <= p.start_time AND s.end_time > p.start_time
    LEFT JOIN busy b ON b.device_id = p.device_id AND b.start_time <= p.start_time AND b.end_time > p.start_time
    LEFT JOIN jobs j ON j.device_id = p.device_id AND j.start_time <= p.start_time AND j.end_time > p.start_time
$$;

CREATE OR REPLACE FUNCTION oee_between(scope text, from_time timestamptz, to_time timestamptz, by text[] DEFAULT '{device}')
RETURNS TABLE (path text, shift_day date, shift text, start timestamptz, job_order text, material text, pbt_s double precision, apt_s double precision,
               pq double precision, gq double precision, ideal_s double precision, availability double precision, effectiveness double precision,
               quality double precision, oee double precision, teep double precision, availability_loss_s double precision,
               performance_loss_s double precision, quality_loss_s double precision, unknown_s double precision, calendar_s double precision,
               unplanned_apt_s double precision, unplanned_pq double precision, unplanned_gq double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH wanted AS (
        SELECT checked_keys(by, ARRAY['site', 'area', 'line', 'cell', 'device', 'shift', 'day', 'hour', 'order', 'product']) AS keys
    ), segments AS MATERIALIZED (
        SELECT s.* FROM wanted w CROSS JOIN LATERAL production_segments(scope, from_time, to_time, 'hour' = ANY (w.keys)) s
    ), machines AS (
        SELECT s.device_id, min(s.start_time) AS low, max(s.end_time) AS high FROM segments s GROUP BY s.device_id
    ), states AS MATERIALIZED (
        SELECT i.*, 2 * row_number() OVER (PARTITION BY i.device_id ORDER BY i.start_time) AS number
        FROM (SELECT array_agg(m.device_id) AS ids, min(m.low) AS low, max(m.high) AS high FROM machines m) of
        CROSS JOIN LATERAL states_of(of.ids, of.low, of.high) i
    ), marks AS (
        SELECT s.device_id, s.start_time AS at, s.segment, NULL::bigint AS state, 0.0::double precision AS made, 0.0::double precision AS scrap FROM segments s
        UNION ALL SELECT s.device_id, s.end_time, s.segment + 1, NULL, 0, 0 FROM segments s
        UNION ALL SELECT s.device_id, s.start_time, NULL, s.number, 0, 0 FROM states s
        UNION ALL SELECT s.device_id, s.end_time, NULL, s.number + 1, 0, 0 FROM states s
        UNION ALL
        SELECT m.device_id, c.time, NULL, NULL, CASE t.name WHEN 'cycle_count' THEN c.growth ELSE 0 END, CASE t.name WHEN 'scrap_count' THEN c.growth ELSE 0 END
        FROM machines m
        JOIN tags t ON t.device_id = m.device_id AND t.name IN ('cycle_count', 'scrap_count')
        CROSS JOIN LATERAL counter_steps(t.tag_id, m.low, m.high) c
        WHERE c.growth > 0
    ), slices AS (
        SELECT m.device_id, max(m.segment) OVER w AS segment, max(m.state) OVER w AS state, m.made, m.scrap,
               extract(epoch FROM lead(m.at) OVER w - m.at)::double precision AS held_s
        FROM marks m WINDOW w AS (PARTITION BY m.device_id ORDER BY m.at)
    ), summed AS (
        SELECT s.device_id, s.segment, s.state, sum(s.held_s) AS held_s, sum(s.made) AS made, sum(s.scrap) AS scrap
        FROM slices s GROUP BY s.device_id, s.segment, s.state
    ), labelled AS (
        -- Without a calendar (no shift) only time with a known state is planned busy time.
        SELECT g.path, g.shift_day, g.shift, date_trunc('hour', g.start_time, 'UTC') AS hour, g.job_order, g.material, g.ideal_s, s.held_s, s.made, s.scrap,
               i.packml_state, g.planned AND (g.shift IS NOT NULL OR i.packml_state IS NOT NULL) AS planned
        FROM summed s
        JOIN segments g ON g.device_id = s.device_id AND g.segment = s.segment
        LEFT JOIN states i ON i.device_id = s.device_id AND i.number = s.state
    ), figures AS (
        SELECT CASE WHEN 'device' = ANY (w.keys) THEN l.path WHEN 'cell' = ANY (w.keys) THEN path_part(l.path, 5) WHEN 'line' = ANY (w.keys) THEN path_part(l.path, 4)
                    WHEN 'area' = ANY (w.keys) THEN path_part(l.path, 3) WHEN 'site' = ANY (w.keys) THEN path_part(l.path, 2) END AS path,
               CASE WHEN w.keys && ARRAY['shift', 'day'] THEN l.shift_day END AS shift_day,
               CASE WHEN 'shift' = ANY (w.keys) THEN l.shift END AS shift,
               CASE WHEN 'hour' = ANY (w.keys) THEN l.hour END AS start,
               CASE WHEN 'order' = ANY (w.keys) THEN l.job_order END AS job_order,
               CASE WHEN w.keys && ARRAY['order', 'product'] THEN l.material END AS material,
               coalesce(sum(l.held_s) FILTER (WHERE l.planned), 0) AS pbt_s,
               coalesce(sum(l.held_s) FILTER (WHERE l.planned AND l.packml_state = 'EXECUTE'), 0) AS apt_s,
               coalesce(sum(l.made) FILTER (WHERE l.planned), 0) AS pq,
               coalesce(sum(l.scrap) FILTER (WHERE l.planned), 0) AS sq,
               sum(l.ideal_s * l.made) FILTER (WHERE l.planned) AS ideal_s,
               coalesce(sum(l.held_s) FILTER (WHERE l.planned AND l.packml_state IS NULL), 0) AS unknown_s,
               coalesce(sum(l.held_s), 0) AS calendar_s,
               coalesce(sum(l.held_s) FILTER (WHERE NOT l.planned AND l.packml_state = 'EXECUTE'), 0) AS unplanned_apt_s,
               coalesce(sum(l.made) FILTER (WHERE NOT l.planned), 0) AS unplanned_pq,
               coalesce(sum(l.scrap) FILTER (WHERE NOT l.planned), 0) AS unplanned_sq
        FROM labelled l CROSS JOIN wanted w
        -- Machines that make no items have no part in the OEE of a line.
        WHERE l.ideal_s IS NOT NULL OR 'device' = ANY (w.keys)
        GROUP BY 1, 2, 3, 4, 5, 6
    )
    SELECT f.path, f.shift_day, f.shift, f.start, f.job_order, f.material, f.pbt_s, f.apt_s, f.pq, k.gq, f.ideal_s, k.availability, k.effectiveness, k.quality,
           CASE WHEN f.unknown_s < f.pbt_s THEN k.effective_s / f.pbt_s END, CASE WHEN f.unknown_s < f.pbt_s THEN k.effective_s / f.calendar_s END,
           f.pbt_s - f.apt_s, f.apt_s - f.ideal_s, f.ideal_s - k.effective_s, f.unknown_s, f.calendar_s,
           f.unplanned_apt_s, f.unplanned_pq, greatest(f.unplanned_pq - f.unplanned_sq, 0)
    FROM figures f
    CROSS JOIN LATERAL (SELECT greatest(f.pq - f.sq, 0) AS gq, CASE WHEN f.unknown_s < f.pbt_s THEN f.apt_s / f.pbt_s END AS availability, f.ideal_s / nullif(f.apt_s, 0) AS effectiveness,
                               greatest(f.pq - f.sq, 0) / nullif(f.pq, 0) AS quality,
                               f.ideal_s * coalesce(greatest(f.pq - f.sq, 0) / nullif(f.pq, 0), 0) AS effective_s) k
$$;

CREATE OR REPLACE FUNCTION downtime_pareto(scope text, from_time timestamptz, to_time timestamptz, depth integer DEFAULT NULL)
RETURNS TABLE (reason text, stops bigint, downtime_s double precision, share double precision, cumulative double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH pieces AS (
        SELECT d.device_id, d.start_time, d.end_time, CASE WHEN depth IS NULL THEN d.reason ELSE path_part(d.reason, depth) END AS reason
        FROM downtimes_between(scope, from_time, until_now(from_time, to_time)) d WHERE NOT d.planned
    ), marked AS (
        SELECT p.*, lag(p.end_time) OVER w IS DISTINCT FROM p.start_time OR lag(p.reason) OVER w IS DISTINCT FROM p.reason AS begins
        FROM pieces p WINDOW w AS (PARTITION BY p.device_id ORDER BY p.start_time)
    ), reasons AS (
        SELECT m.reason, count(*) FILTER (WHERE m.begins) AS stops, sum(extract(epoch FROM m.end_time - m.start_time))::double precision AS downtime_s
        FROM marked m GROUP BY m.reason
    )
    SELECT r.reason, r.stops, r.downtime_s, r.downtime_s / sum(r.downtime_s) OVER (),
           sum(r.downtime_s) OVER (ORDER BY r.downtime_s DESC, r.reason) / sum(r.downtime_s) OVER ()
    FROM reasons r ORDER BY r.downtime_s DESC, r.reason
$$;

CREATE OR REPLACE FUNCTION oee_losses(scope text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (category text, reason text, loss_s double precision, share double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH machines AS MATERIALIZED (
        SELECT o.*, d.device_id FROM oee_between(scope, from_time, to_time, '{device}') o JOIN device d USING (path)
        WHERE ideal_cycle_time_at(d.device_id, NULL, from_time) IS NOT NULL OR o.ideal_s > 0
    ), total AS (
        SELECT sum(m.pbt_s) AS pbt_s, sum(m.apt_s) AS apt_s, sum(m.availability_loss_s) AS availability_loss_s,
               sum(m.performance_loss_s) AS performance_loss_s, sum(m.quality_loss_s) AS quality_loss_s, sum(m.ideal_s) - sum(m.quality_loss_s) AS effective_s
        FROM machines m
    ), stood AS (
        SELECT coalesce(d.reason, 'no reason given') AS reason, sum(extract(epoch FROM d.end_time - d.start_time))::double precision AS loss_s
        FROM downtimes_between(scope, from_time, until_now(from_time, to_time)) d JOIN machines m USING (device_id)
        WHERE NOT d.planned GROUP BY 1
    ), losses AS (
        SELECT 1 AS place, 'availability' AS category, s.reason, s.loss_s FROM stood s
        UNION ALL
        SELECT 2, 'availability', 'state not known', t.availability_loss_s - coalesce((SELECT sum(s.loss_s) FROM stood s), 0) FROM total t
        UNION ALL SELECT 3, 'performance', '', t.performance_loss_s FROM total t
        UNION ALL SELECT 4, 'quality', '', t.quality_loss_s FROM total t
        UNION ALL SELECT 5, 'effective', '', t.effective_s FROM total t
    )
    SELECT l.category, l.reason, l.loss_s, l.loss_s / nullif(t.pbt_s, 0)
    FROM losses l CROSS JOIN total t
    WHERE abs(l.loss_s) > 0.001
    ORDER BY l.place, l.loss_s DESC, l.reason
$$;

CREATE OR REPLACE FUNCTION reliability_between(scope text, from_time timestamptz, to_time timestamptz, failure_reasons text[] DEFAULT NULL)
RETURNS TABLE (path text, failures bigint, operating_s double precision, repair_s double precision, mtbf_s double precision, mttr_s double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH pieces AS (
        SELECT d.device_id, d.start_time, d.end_time,
               CASE WHEN failure_reasons IS NULL THEN d.packml_state IN ('ABORTING', 'ABORTED')
                    ELSE EXISTS (SELECT FROM unnest(failure_reasons) f WHERE scope_covers(f, d.reason)) END AS failed
        FROM downtimes_between(scope, from_time, until_now(from_time, to_time)) d WHERE NOT d.planned
    ), marked AS (
        SELECT p.*, (lag(p.end_time) OVER w IS DISTINCT FROM p.start_time)::integer AS begins FROM pieces p
        WINDOW w AS (PARTITION BY p.device_id ORDER BY p.start_time)
    ), numbered AS (
        SELECT m.*, sum(m.begins) OVER (PARTITION BY m.device_id ORDER BY m.start_time) AS stop FROM marked m
    ), whole AS (
        SELECT n.device_id, n.stop, sum(extract(epoch FROM n.end_time - n.start_time))::double precision AS stood_s
        FROM numbered n GROUP BY n.device_id, n.stop HAVING bool_or(n.failed)
    )
    SELECT o.path, count(w.stop), o.apt_s, coalesce(sum(w.stood_s), 0), o.apt_s / nullif(count(w.stop), 0), sum(w.stood_s) / nullif(count(w.stop), 0)
    FROM oee_between(scope, from_time, to_time, '{device}') o
    JOIN device d USING (path)
    LEFT JOIN whole w ON w.device_id = d.device_id
    GROUP BY o.path, o.apt_s
$$;

CREATE OR REPLACE FUNCTION energy_between(scope text, from_time timestamptz, to_time timestamptz, by text[] DEFAULT '{device}')
RETURNS TABLE (path text, shift_day date, shift text, start timestamptz, job_order text, material text, packml_state text, energy double precision, unit text,
               time_s double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH wanted AS (
        SELECT checked_keys(by, ARRAY['site', 'area', 'line', 'cell', 'device', 'shift', 'day', 'hour', 'order', 'product', 'state']) AS keys
    ), segments AS MATERIALIZED (
        SELECT s.* FROM wanted w CROSS JOIN LATERAL production_segments(scope, from_time, to_time, 'hour' = ANY (w.keys)) s
    ), machines AS (
        SELECT s.device_id, t.tag_id, t.unit, min(s.start_time) AS low, max(s.end_time) AS high
        FROM segments s JOIN tags t ON t.device_id = s.device_id AND t.name = 'energy'
        GROUP BY s.device_id, t.tag_id, t.unit
    ), states AS MATERIALIZED (
        SELECT i.*, 2 * row_number() OVER (PARTITION BY i.device_id ORDER BY i.start_time) AS number
        FROM (SELECT array_agg(m.device_id) AS ids, min(m.low) AS low, max(m.high) AS high FROM machines m) of
        CROSS JOIN LATERAL states_of(of.ids, of.low, of.high) i
        WHERE 'state' = ANY (by)
    ), readings AS MATERIALIZED (
        -- An hour more, for the reading that ends the last stretch.
        SELECT m.device_id, c.previous_time, c.time, c.growth / nullif(extract(epoch FROM c.time - c.previous_time), 0)::double precision AS per_s,
               2 * row_number() OVER (PARTITION BY m.device_id ORDER BY c.time) AS number
        FROM machines m CROSS JOIN LATERAL counter_steps(m.tag_id, m.low, m.high + interval '1 hour') c
    ), marks AS (
        SELECT s.device_id, s.start_time AS at, s.segment, NULL::bigint AS state, NULL::bigint AS reading FROM segments s
        UNION ALL SELECT s.device_id, s.end_time, s.segment + 1, NULL, NULL FROM segments s
        UNION ALL SELECT s.device_id, s.start_time, NULL, s.number, NULL FROM states s
        UNION ALL SELECT s.device_id, s.end_time, NULL, s.number + 1, NULL FROM states s
        UNION ALL SELECT r.device_id, r.previous_time, NULL, NULL, r.number FROM readings r
        UNION ALL SELECT r.device_id, r.time, NULL, NULL, r.number + 1 FROM readings r
    ), slices AS (
        SELECT m.device_id, max(m.segment) OVER w AS segment, max(m.state) OVER w AS state, max(m.reading) OVER w AS reading,
               extract(epoch FROM lead(m.at) OVER w - m.at)::double precision AS held_s
        FROM marks m WINDOW w AS (PARTITION BY m.device_id ORDER BY m.at)
    )
    SELECT CASE WHEN 'device' = ANY (w.keys) THEN g.path WHEN 'cell' = ANY (w.keys) THEN path_part(g.path, 5) WHEN 'line' = ANY (w.keys) THEN path_part(g.path, 4)
                WHEN 'area' = ANY (w.keys) THEN path_part(g.path, 3) WHEN 'site' = ANY (w.keys) THEN path_part(g.path, 2) END,
           CASE WHEN w.keys && ARRAY['shift', 'day'] THEN g.shift_day END, CASE WHEN 'shift' = ANY (w.keys) THEN g.shift END,
           CASE WHEN 'hour' = ANY (w.keys) THEN date_trunc('hour', g.start_time, 'UTC') END, CASE WHEN 'order' = ANY (w.keys) THEN g.job_order END,
           CASE WHEN w.keys && ARRAY['order', 'product'] THEN g.material END, i.packml_state, coalesce(sum(s.held_s * r.per_s), 0), m.unit,
           sum(s.held_s)
    FROM slices s
    CROSS JOIN wanted w
    JOIN machines m ON m.device_id = s.device_id
    JOIN segments g ON g.device_id = s.device_id AND g.segment = s.segment
    LEFT JOIN states i ON i.device_id = s.device_id AND i.number = s.state
    LEFT JOIN readings r ON r.device_id = s.device_id AND r.number = s.reading
    GROUP BY 1, 2, 3, 4, 5, 6, 7, m.unit
$$;

CREATE OR REPLACE FUNCTION production_against_plan(scope text, from_time timestamptz, to_time timestamptz, counted_class text DEFAULT NULL)
RETURNS TABLE (job_order text, material text, status text, quantity double precision, planned_start timestamptz, planned_end timestamptz, started timestamptz,
               ended timestamptz, good double precision, declared double precision, expected double precision, ahead double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    SELECT o.job_order, o.material, o.status, o.quantity, o.planned_start, o.planned_end, r.started, r.ended, coalesce(m.good, 0), coalesce(l.declared, 0),
           p.expected, coalesce(m.good, 0) - p.expected
    FROM job_orders o
    LEFT JOIN LATERAL (
        SELECT min(x.start_time) AS started, CASE WHEN bool_and(x.end_time IS NOT NULL) THEN max(x.end_time) END AS ended
        FROM job_responses x WHERE x.job_order = o.job_order
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT sum(f.gq + f.unplanned_gq) AS good
        FROM oee_between(o.scope, r.started, coalesce(r.ended, greatest(r.started, now())), '{device,order}') f
        JOIN device d ON d.path = f.path
        WHERE f.job_order = o.job_order AND (counted_class IS NULL OR d.device_class = counted_class)
    ) m ON r.started IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT sum(a.quantity) AS declared
        FROM material_actuals a
        JOIN job_responses x USING (job_response)
        JOIN material_lots t ON t.lot = a.lot
        WHERE x.job_order = o.job_order AND a.use = 'PRODUCED' AND t.material = o.material
    ) l ON true
    CROSS JOIN LATERAL (
        SELECT o.quantity * least(greatest(extract(epoch FROM now() - o.planned_start) / extract(epoch FROM o.planned_end - o.planned_start), 0), 1)::double precision
            AS expected
    ) p
    WHERE is_range(from_time, to_time) AND (production_against_plan.scope = '' OR scope_covers(production_against_plan.scope, o.scope))
      AND o.planned_start < to_time AND greatest(o.planned_end, coalesce(r.ended, o.planned_end)) > from_time
    ORDER BY o.planned_start
$$;

CREATE OR REPLACE FUNCTION scrap_by_reason(scope text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (reason text, quantity double precision, share double precision, cumulative double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH machines AS (
        SELECT d.device_id FROM device d WHERE scope = '' OR scope_covers(scope, d.path)
    ), said AS (
        SELECT e.reason, sum(e.quantity) AS quantity FROM machines m JOIN scrap_entries e USING (device_id)
        WHERE e.time >= from_time AND e.time < to_time GROUP BY e.reason
    ), counted AS (
        SELECT sum(c.growth) AS quantity
        FROM machines m JOIN tags t ON t.device_id = m.device_id AND t.name = 'scrap_count' CROSS JOIN LATERAL counter_steps(t.tag_id, from_time, to_time) c
    ), rows AS (
        SELECT s.reason, s.quantity FROM said s
        UNION ALL
        SELECT NULL, c.quantity - coalesce((SELECT sum(s.quantity) FROM said s), 0) FROM counted c
    )
    SELECT r.reason, r.quantity, r.quantity / sum(r.quantity) OVER (), sum(r.quantity) OVER (ORDER BY r.quantity DESC, r.reason) / sum(r.quantity) OVER ()
    FROM rows r WHERE r.quantity > 0 AND is_range(from_time, to_time)
    ORDER BY r.quantity DESC, r.reason
$$;
