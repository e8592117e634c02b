-- A range without a beginning or an end, '-infinity' or 'infinity', in the answers. What is made of data ends with them, and at now. A grid of
-- moments and the shifts of a calendar have no end of their own: gap_filled, shifts_between and what is made of them went on, a point or a day
-- after the other, until somebody stopped them or the disk was full; others failed with an error of the driver's. They say so now.

CREATE FUNCTION is_finite_range(from_time timestamptz, to_time timestamptz) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF from_time = '-infinity' THEN
        RAISE EXCEPTION 'the range has no beginning' USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the time at which it is to begin, not -infinity.';
    ELSIF to_time = 'infinity' THEN
        RAISE EXCEPTION 'the range has no end' USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the time at which it is to end, now() perhaps, not infinity.';
    END IF;
    RETURN is_range(from_time, to_time);
END $$;
COMMENT ON FUNCTION is_finite_range IS 'As is_range, for what is made of the range itself: an error, too, when it has no beginning or no end.';

CREATE OR REPLACE FUNCTION until_now(from_time timestamptz, to_time timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    -- Finite from now on for its error alone: what follows plans machines from the beginning on.
    SELECT CASE WHEN is_range(from_time, to_time) AND is_finite_range(from_time, greatest(from_time, least(to_time, now()))) IS NOT NULL
                THEN greatest(from_time, least(to_time, now())) END
$$;
COMMENT ON FUNCTION until_now IS
    'End of the part of a range that has come: of a range in the future its start, so that nothing is left; null without a range; an error when it has no beginning.';

CREATE OR REPLACE FUNCTION gap_filled(tag integer, from_time timestamptz, to_time timestamptz, every interval, method text DEFAULT 'step')
RETURNS TABLE ("time" timestamptz, value double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET jit = off AS $$
BEGIN
    IF method NOT IN ('step', 'linear') THEN
        RAISE EXCEPTION 'method is %, not step or linear', quote_literal(method) USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT is_finite_range(from_time, to_time) THEN
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

CREATE OR REPLACE FUNCTION work_days(place text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (day date, pattern text, time_zone text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT DISTINCT ON (d.day) d.day::date, c.pattern, p.time_zone, d.day AT TIME ZONE p.time_zone, (d.day + interval '1 day') AT TIME ZONE p.time_zone
    FROM work_calendars c
    JOIN shift_patterns p ON p.name = c.pattern
    -- Two days before and after: a shift from the day before, and those that may cut it.
    CROSS JOIN LATERAL generate_series(greatest(c.valid_from, (from_time AT TIME ZONE p.time_zone)::date - 2)::timestamp,
                                       least(c.valid_to - 1, (to_time AT TIME ZONE p.time_zone)::date + 2)::timestamp, interval '1 day') AS d(day)
    WHERE scope_covers(c.scope, place) AND is_finite_range(from_time, to_time)
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
    WHERE is_finite_range(from_time, to_time) AND lower(s.span) < to_time AND upper(s.span) > from_time
    ORDER BY 3
$$;

CREATE OR REPLACE FUNCTION calendars_of(devices integer[], from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, start_time timestamptz, end_time timestamptz, shift text, shift_day date)
LANGUAGE sql STABLE PARALLEL SAFE SET jit = off AS $$
    WITH places AS ( -- a machine moves: the calendar of where it stood, which is that of the longest scope with anything to say
        SELECT p.device_id, coalesce(c.scope, '') AS scope, greatest(p.valid_from, from_time) AS since, least(p.valid_to, to_time) AS until
        FROM device_paths p
        LEFT JOIN LATERAL (
            SELECT s.scope FROM (SELECT w.scope FROM work_calendars w UNION SELECT e.scope FROM work_calendar_exceptions e) s
            WHERE scope_covers(s.scope, p.path) ORDER BY length(s.scope) DESC LIMIT 1
        ) c ON true
        WHERE p.device_id = ANY (devices) AND p.valid_from < to_time AND p.valid_to > from_time AND is_finite_range(from_time, to_time)
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
