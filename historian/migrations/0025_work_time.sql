-- What follows from the model of work for any range of time: shifts, planned busy time, stops and their reasons. All times are exact across
-- daylight-saving changes: the zone of the pattern says when a local time is.

CREATE FUNCTION scope_covers(scope text, path text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN path = scope OR starts_with(path, scope || '/');
COMMENT ON FUNCTION scope_covers IS 'Whether a path lies in a scope: the scope is a prefix of it, by whole parts.';

CREATE FUNCTION packml_state_name(state integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (ARRAY['CLEARING', 'STOPPED', 'STARTING', 'IDLE', 'SUSPENDED', 'EXECUTE', 'STOPPING', 'ABORTING', 'ABORTED', 'HOLDING', 'HELD',
              'UNHOLDING', 'SUSPENDING', 'UNSUSPENDING', 'RESETTING', 'COMPLETING', 'COMPLETE'])[state];
COMMENT ON FUNCTION packml_state_name IS 'Name of a PackML state (StateCurrent); null for a number that has none.';

ALTER TABLE packml_reasons ADD CONSTRAINT packml_reasons_state CHECK (packml_state IN ('CLEARING', 'STOPPED', 'STARTING', 'IDLE', 'SUSPENDED',
    'STOPPING', 'ABORTING', 'ABORTED', 'HOLDING', 'HELD', 'UNHOLDING', 'SUSPENDING', 'UNSUSPENDING', 'RESETTING', 'COMPLETING', 'COMPLETE'));

-- Calendars.

CREATE FUNCTION work_days(place text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (day date, pattern text, time_zone text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT DISTINCT ON (d.day) d.day::date, c.pattern, p.time_zone, d.day AT TIME ZONE p.time_zone, (d.day + interval '1 day') AT TIME ZONE p.time_zone
    FROM work_calendars c
    JOIN shift_patterns p ON p.name = c.pattern
    -- Two days before and after: a shift from the day before, and those that may cut it.
    CROSS JOIN LATERAL generate_series(greatest(c.valid_from, (from_time AT TIME ZONE p.time_zone)::date - 2)::timestamp,
                                       least(c.valid_to - 1, (to_time AT TIME ZONE p.time_zone)::date + 2)::timestamp, interval '1 day') AS d(day)
    WHERE scope_covers(c.scope, place)
    ORDER BY d.day, length(c.scope) DESC
$$;
COMMENT ON FUNCTION work_days IS 'Local days of a place that have a calendar, around a range of time, with the pattern that is valid.';

CREATE FUNCTION shifts_between(place text, from_time timestamptz, to_time timestamptz)
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
    WHERE s.span && tstzrange(from_time, to_time)
    ORDER BY 3
$$;
COMMENT ON FUNCTION shifts_between IS
    'Shifts of a place that touch a range of time, whole, with exceptions applied. They never overlap: a moment belongs to the shift that started last, so that one may come in two pieces. shift_day is the local day on which it begins.';

CREATE FUNCTION calendar_time(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, shift text, shift_day date)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    WITH places AS ( -- a machine moves: the calendar of where it stood
        SELECT p.path, greatest(p.valid_from, from_time) AS since, least(p.valid_to, to_time) AS until
        FROM device_paths p
        WHERE p.device_id = device AND p.valid_from < to_time AND p.valid_to > from_time AND from_time < to_time
    ), shifts AS (
        SELECT p.since, tstzrange(p.since, p.until) * tstzrange(s.start_time, s.end_time) AS span, s.shift, s.shift_day
        FROM places p CROSS JOIN LATERAL shifts_between(p.path, p.since, p.until) s
    ), free AS (
        SELECT tstzmultirange(tstzrange(p.since, p.until)) - d.spans - coalesce(s.spans, '{}') AS spans
        FROM places p
        CROSS JOIN LATERAL (
            SELECT coalesce(range_agg(tstzrange(w.start_time, w.end_time)), '{}') AS spans FROM work_days(p.path, p.since, p.until) w
        ) d
        LEFT JOIN (SELECT since, range_agg(span) AS spans FROM shifts GROUP BY since) s USING (since)
    )
    SELECT lower(s.span), upper(s.span), s.shift, s.shift_day FROM shifts s WHERE NOT isempty(s.span)
    UNION ALL
    SELECT lower(r.span), upper(r.span), NULL, NULL FROM free f CROSS JOIN LATERAL unnest(f.spans) AS r(span)
    ORDER BY 1
$$;
COMMENT ON FUNCTION calendar_time IS
    'Time in which a machine was to work by its calendars, cut to the range. On days without a calendar that is all time, without a shift.';

-- States and stops.

CREATE FUNCTION state_intervals(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (packml_state text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    WITH points AS (
        SELECT s.time, packml_state_name(s.value::integer) AS state
        FROM samples s
        WHERE s.tag_id = (SELECT t.tag_id FROM tags t WHERE t.device_id = device AND t.name = 'packml_state')
          AND s.time >= from_time - interval '1 hour' AND s.time < least(to_time, now()) AND quality_name(s.quality::integer) = 'good'
    ), steps AS (
        -- The state is stored when it changes and at least every ten minutes: an hour after the last word nobody knows it.
        SELECT p.state, p.time, least(lead(p.time, 1, 'infinity') OVER (ORDER BY p.time), p.time + interval '1 hour', to_time, now()) AS until FROM points p
    ), held AS (
        SELECT s.state, greatest(s.time, from_time) AS time, s.until FROM steps s WHERE s.until > greatest(s.time, from_time) AND s.state IS NOT NULL
    ), marked AS (
        SELECT h.*, (lag(h.state) OVER w IS DISTINCT FROM h.state OR lag(h.until) OVER w < h.time)::integer AS begins FROM held h WINDOW w AS (ORDER BY h.time)
    ), counted AS (
        SELECT m.*, sum(m.begins) OVER (ORDER BY m.time) AS run FROM marked m
    )
    SELECT min(c.state), min(c.time), max(c.until) FROM counted c GROUP BY c.run ORDER BY 2
$$;
COMMENT ON FUNCTION state_intervals IS
    'PackML states of a machine in a range of time, one row for as long as it lasted. A state holds until the next one, an hour at most; then it is unknown, and there is no row.';

CREATE FUNCTION downtime_words(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, entry uuid, reason text, entered_by text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    WITH said AS (
        SELECT e.ordinal, e.entry, e.reason, e.entered_by, tstzrange(from_time, to_time) * tstzrange(e.start_time, x.until) AS span
        FROM downtime_entries e
        CROSS JOIN LATERAL (
            SELECT CASE WHEN e.end_time IS NOT NULL THEN e.end_time ELSE (
                SELECT s.time FROM samples s
                WHERE s.tag_id = (SELECT t.tag_id FROM tags t WHERE t.device_id = device AND t.name = 'packml_state')
                  AND s.time >= e.start_time AND s.time < to_time AND s.value = 6 AND quality_name(s.quality::integer) = 'good'
                ORDER BY s.time LIMIT 1) END AS until
        ) x
        WHERE e.device_id = device AND tstzrange(e.start_time, e.end_time) && tstzrange(from_time, to_time)
          AND (x.until IS NULL OR x.until > greatest(e.start_time, from_time))
    )
    SELECT lower(r.span), upper(r.span), c.entry, c.reason, c.entered_by
    FROM (
        SELECT s.entry, s.reason, s.entered_by, tstzmultirange(s.span) - coalesce(range_agg(o.span), '{}') AS spans
        FROM said s LEFT JOIN said o ON o.ordinal > s.ordinal AND o.span && s.span
        GROUP BY s.entry, s.reason, s.entered_by, s.span
    ) c
    CROSS JOIN LATERAL unnest(c.spans) AS r(span)
    ORDER BY 1
$$;
COMMENT ON FUNCTION downtime_words IS 'For each moment of a range of time, the entry about a machine''s stops that was entered last.';

CREATE FUNCTION stops(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, packml_state text, reason text, planned boolean, entered_by text, entry uuid)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    WITH states AS (
        SELECT i.packml_state AS state, tstzrange(i.start_time, i.end_time) AS span FROM state_intervals(device, from_time, to_time) i
    ), words AS (
        SELECT w.entry, w.reason, w.entered_by, tstzrange(w.start_time, w.end_time) AS span
        FROM downtime_words(device, from_time, to_time) w WHERE w.reason IS NOT NULL
    ), automatic AS (
        SELECT DISTINCT ON (p.packml_state) p.packml_state AS state, p.reason
        FROM packml_reasons p JOIN devices d ON d.device_id = device
        WHERE p.device_class IS NULL OR p.device_class = d.device_class
        ORDER BY p.packml_state, p.device_class NULLS LAST
    ), pieces AS (
        SELECT s.span * w.span AS span, s.state, w.reason, w.entered_by, w.entry
        FROM states s JOIN words w ON w.span && s.span WHERE s.state <> 'EXECUTE'
        UNION ALL
        SELECT r.span, s.state, a.reason, NULL, NULL
        FROM states s
        CROSS JOIN LATERAL (SELECT tstzmultirange(s.span) - coalesce(range_agg(w.span), '{}') AS spans FROM words w WHERE w.span && s.span) x
        CROSS JOIN LATERAL unnest(x.spans) AS r(span)
        LEFT JOIN automatic a USING (state)
        WHERE s.state <> 'EXECUTE'
        UNION ALL
        SELECT r.span, NULL, w.reason, w.entered_by, w.entry
        FROM words w
        CROSS JOIN LATERAL (SELECT tstzmultirange(w.span) - coalesce(range_agg(s.span), '{}') AS spans FROM states s WHERE s.span && w.span) x
        CROSS JOIN LATERAL unnest(x.spans) AS r(span)
    )
    SELECT lower(p.span), upper(p.span), p.state, p.reason, coalesce(d.planned, false), p.entered_by, p.entry
    FROM pieces p LEFT JOIN downtime_reasons d USING (reason)
    ORDER BY 1
$$;
COMMENT ON FUNCTION stops IS
    'When a machine did not execute, whatever its calendar says: one row per state and reason. The reason is what people said last, else that of the state. Where the state is unknown only what people said is a stop.';

CREATE FUNCTION planned_busy(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start_time timestamptz, end_time timestamptz, shift text, shift_day date)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    WITH planned AS (
        SELECT coalesce(range_agg(tstzrange(s.start_time, s.end_time)), '{}') AS spans FROM stops(device, from_time, to_time) s WHERE s.planned
    )
    SELECT lower(r.span), upper(r.span), c.shift, c.shift_day
    FROM calendar_time(device, from_time, to_time) c
    CROSS JOIN planned p
    CROSS JOIN LATERAL unnest(tstzmultirange(tstzrange(c.start_time, c.end_time)) - p.spans) AS r(span)
    ORDER BY 1
$$;
COMMENT ON FUNCTION planned_busy IS
    'Planned busy time of a machine (PBT of ISO 22400-2): its calendar time less its planned stops, cut to the range. Without a calendar all time is planned, without a shift.';

CREATE FUNCTION downtimes_between(scope text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, start_time timestamptz, end_time timestamptz, packml_state text, reason text, planned boolean, entered_by text,
               entry uuid, device_path text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT p.device_id, greatest(s.start_time, lower(c.span)), least(s.end_time, upper(c.span)), s.packml_state, s.reason, s.planned, s.entered_by, s.entry, p.path
    FROM (
        SELECT d.device_id, d.path, greatest(d.valid_from, from_time) AS since, least(d.valid_to, to_time) AS until
        FROM device_paths d
        WHERE scope_covers($1, d.path) AND d.valid_from < to_time AND d.valid_to > from_time AND from_time < to_time
    ) p
    CROSS JOIN LATERAL stops(p.device_id, p.since, p.until) s
    -- Shifts that follow one another are one stretch: a stop is not cut where they change.
    JOIN LATERAL (
        SELECT r.span FROM (
            SELECT range_agg(tstzrange(t.start_time, t.end_time)) AS spans FROM calendar_time(p.device_id, p.since, p.until) t
        ) x CROSS JOIN LATERAL unnest(x.spans) AS r(span)
    ) c ON c.span && tstzrange(s.start_time, s.end_time)
    ORDER BY p.device_id, 2
$$;
COMMENT ON FUNCTION downtimes_between IS
    'Stops within calendar time of all machines that stood in a scope: one row per state and reason; rows without a gap between them are one stop. packml_state is null where nobody knows it, reason is null where nobody and nothing gives one.';

-- Orders and cycle times.

CREATE FUNCTION running_job(device integer, at_time timestamptz)
RETURNS TABLE (job_response uuid, job_order text, material text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT r.job_response, r.job_order, o.material, r.start_time, r.end_time
    FROM job_responses r JOIN job_orders o USING (job_order)
    WHERE r.device_id = device AND tstzrange(r.start_time, r.end_time) @> at_time
$$;
COMMENT ON FUNCTION running_job IS 'The order that a machine worked on at a time: one row or none.';

CREATE FUNCTION ideal_cycle_time_at(device integer, product text, at_time timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT c.cycle_time_s
        FROM ideal_cycle_times c
        JOIN device_paths p ON p.device_id = device AND p.valid_from <= at_time AND p.valid_to > at_time AND scope_covers(c.scope, p.path)
        WHERE (c.material IS NULL OR c.material = product) AND tstzrange(c.valid_from, c.valid_to) @> at_time
        ORDER BY length(c.scope) DESC, c.material NULLS LAST LIMIT 1
    ), (SELECT d.planned_run_time_s FROM devices d WHERE d.device_id = device))
$$;
COMMENT ON FUNCTION ideal_cycle_time_at IS
    'Planned run time per item of a machine for a product (null: whatever it makes) at a time, seconds; null when nothing says it. The longest scope wins, then the one for the product.';
