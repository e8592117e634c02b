-- Figures over a range of time: time-weighted mean, and OEE by ISO 22400-2.

CREATE FUNCTION time_weighted_mean(tag integer, from_time timestamptz, to_time timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH points AS (
        (SELECT from_time AS time, value, quality FROM samples
         WHERE tag_id = tag AND samples.time < from_time AND samples.time >= from_time - interval '1 hour'
         ORDER BY samples.time DESC LIMIT 1)
        UNION ALL
        SELECT time, value, quality FROM samples WHERE tag_id = tag AND samples.time >= from_time AND samples.time < to_time
    ), steps AS (
        SELECT value, quality_name(quality::integer) = 'good' AS good,
               extract(epoch FROM lead(time, 1, to_time) OVER (ORDER BY time) - time)::double precision AS held_s
        FROM points
    )
    SELECT sum(value * held_s) FILTER (WHERE good) / nullif(sum(held_s) FILTER (WHERE good), 0) FROM steps
$$;
COMMENT ON FUNCTION time_weighted_mean(integer, timestamptz, timestamptz) IS
    'Mean of a tag weighted by how long each value held: a value holds until the next sample. Time under bad or uncertain quality is left out; the value at the start is looked for in the hour before.';

CREATE FUNCTION time_weighted_mean(tag_path text, from_time timestamptz, to_time timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT time_weighted_mean(tag_id, from_time, to_time) FROM tag_definition WHERE path = tag_path
$$;
COMMENT ON FUNCTION time_weighted_mean(text, timestamptz, timestamptz) IS 'The same by the present path of the tag.';

CREATE FUNCTION oee_between(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, pbt_s double precision, apt_s double precision, pri_s double precision, pq double precision, gq double precision)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH wanted AS (
        SELECT t.tag_id, t.device_id, t.name FROM tags t WHERE t.name IN ('packml_state', 'cycle_count', 'scrap_count')
    ), raw AS (
        SELECT w.device_id, w.name, s.time, s.value
        FROM samples s JOIN wanted w USING (tag_id)
        -- Repeats of ON_CHANGE tags are stored every ten minutes, so the state at the start lies less than an hour back.
        WHERE s.time >= from_time - interval '1 hour' AND s.time < least(to_time, now()) AND quality_name(s.quality::integer) = 'good'
    ), steps AS (
        SELECT r.device_id, r.name, r.value, r.time,
               lag(r.value) OVER w AS previous,
               lead(r.time, 1, least(to_time, now())) OVER w AS until
        FROM raw r WINDOW w AS (PARTITION BY r.device_id, r.name ORDER BY r.time)
    ), figures AS (
        SELECT s.device_id,
               sum(extract(epoch FROM s.until - greatest(s.time, from_time))) FILTER (WHERE s.name = 'packml_state' AND s.until > from_time) AS pbt_s,
               sum(extract(epoch FROM s.until - greatest(s.time, from_time))) FILTER (WHERE s.name = 'packml_state' AND s.until > from_time AND s.value = 6) AS apt_s,
               sum(greatest(s.value - s.previous, 0)) FILTER (WHERE s.name = 'cycle_count' AND s.time >= from_time) AS pq,
               sum(greatest(s.value - s.previous, 0)) FILTER (WHERE s.name = 'scrap_count' AND s.time >= from_time) AS scrap
        FROM steps s GROUP BY s.device_id
    )
    SELECT f.device_id, f.pbt_s::double precision, coalesce(f.apt_s, 0)::double precision, d.planned_run_time_s, coalesce(f.pq, 0), greatest(coalesce(f.pq, 0) - coalesce(f.scrap, 0), 0)
    FROM figures f JOIN devices d USING (device_id)
    WHERE f.pbt_s > 0
$$;
COMMENT ON FUNCTION oee_between IS
    'What OEE is made of, per device, in a range of time: planned busy time, actual production time, planned run time per item, produced and good quantity.';

CREATE VIEW oee AS
SELECT h.start, d.path AS device_path, d.device_class, f.pbt_s, f.apt_s, f.pri_s, f.pq, f.gq,
       k.availability, k.effectiveness, k.quality, k.availability * k.effectiveness * k.quality AS oee, f.device_id
FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '23 hours', date_trunc('hour', now(), 'UTC'), interval '1 hour') AS h(start)
CROSS JOIN LATERAL oee_between(h.start, h.start + interval '1 hour') AS f
JOIN device d USING (device_id)
CROSS JOIN LATERAL (SELECT f.apt_s / f.pbt_s AS availability, f.pri_s * f.pq / nullif(f.apt_s, 0) AS effectiveness, f.gq / nullif(f.pq, 0) AS quality) AS k;
COMMENT ON VIEW oee IS
    'OEE by ISO 22400-2 for each hour of the last day: A = APT/PBT, E = PRI*PQ/APT, Q = GQ/PQ. There is no production calendar: all time with a known PackML state counts as planned busy time, and APT is the time in EXECUTE.';
COMMENT ON COLUMN oee.start IS 'Start of the hour, inclusive; the last one is still running.';
COMMENT ON COLUMN oee.device_path IS 'Present path of the device.';
COMMENT ON COLUMN oee.device_class IS 'Class of the device.';
COMMENT ON COLUMN oee.pbt_s IS 'Planned busy time: time with a known PackML state, seconds.';
COMMENT ON COLUMN oee.apt_s IS 'Actual production time: time in PackML EXECUTE, seconds.';
COMMENT ON COLUMN oee.pri_s IS 'Planned run time per item, seconds; null when the device makes no items.';
COMMENT ON COLUMN oee.pq IS 'Produced quantity: growth of cycle_count.';
COMMENT ON COLUMN oee.gq IS 'Good quantity: produced quantity less growth of scrap_count.';
COMMENT ON COLUMN oee.availability IS 'A = APT/PBT.';
COMMENT ON COLUMN oee.effectiveness IS 'E = PRI*PQ/APT; above 1 when the machine runs faster than planned. Null without a planned run time or production.';
COMMENT ON COLUMN oee.quality IS 'Q = GQ/PQ; null without production.';
COMMENT ON COLUMN oee.oee IS 'A*E*Q; null when one of them is.';
COMMENT ON COLUMN oee.device_id IS 'Device.';
