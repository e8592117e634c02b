-- Answers that a plant asks for: OEE and its losses by ISO 22400-2, cycle times, production against plan, scrap, energy.
--
-- How it is computed. production_segments cuts a range of time, for each machine, wherever a shift, an order or an ideal cycle time begins or
-- ends. A sweep then puts the beginnings of segments, of PackML states and the growth of counters in one order of time and carries the number
-- of the segment and of the state along: each row is a slice that lies in one of each. The numbers are even; the odd one after it stands for
-- the time behind its end. That costs one sort, where joining ranges would compare each with each.
--
-- jit is off in these functions: the planner cannot know how few rows their parts give, and compiling them would take seconds.

CREATE FUNCTION path_part(path text, parts integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_to_string((string_to_array(path, '/'))[1:parts], '/');
COMMENT ON FUNCTION path_part IS 'First parts of a path: 2 is the site, 3 the area, 4 the line, 5 the cell, 6 the device.';

CREATE FUNCTION checked_keys(by text[], known text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF NOT by <@ known THEN
        RAISE EXCEPTION 'cannot group by %: known are %', array_to_string(by, ', '), array_to_string(known, ', ')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN by;
END $$;
COMMENT ON FUNCTION checked_keys IS 'The keys to group by; an error that names the known ones when there is another among them.';

CREATE FUNCTION counter_steps(tag integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, previous_time timestamptz, growth double precision)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.time, c.previous_time, greatest(c.value - c.previous, 0)
    FROM (SELECT s.time, s.value, lag(s.time) OVER w AS previous_time, lag(s.value) OVER w AS previous
          FROM samples s
          WHERE s.tag_id = tag AND s.time >= from_time - interval '1 hour' AND s.time < least(to_time, now()) AND quality_name(s.quality::integer) = 'good'
          WINDOW w AS (ORDER BY s.time)) c
    WHERE c.time >= from_time AND c.previous IS NOT NULL
$$;
COMMENT ON FUNCTION counter_steps IS
    'By how much a counter had grown at each of its samples; 0 when it was set back. The value before the range is looked for in the hour before.';

CREATE FUNCTION production_segments(scope text, from_time timestamptz, to_time timestamptz, hourly boolean DEFAULT false)
RETURNS TABLE (device_id integer, path text, segment bigint, start_time timestamptz, end_time timestamptz, planned boolean, shift text, shift_day date,
               job_order text, material text, ideal_s double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH machines AS (
        SELECT p.device_id, p.path, greatest(p.valid_from, from_time) AS low, least(p.valid_to, to_time, now()) AS high
        FROM device_paths p
        WHERE (scope = '' OR scope_covers(scope, p.path)) AND p.valid_from < least(to_time, now()) AND p.valid_to > from_time
          AND EXISTS (SELECT FROM tags t WHERE t.device_id = p.device_id AND t.name = 'packml_state')
    ), shifts AS (
        SELECT m.device_id, c.start_time, c.end_time, c.shift, c.shift_day FROM machines m CROSS JOIN LATERAL calendar_time(m.device_id, m.low, m.high) c
    ), busy AS (
        SELECT m.device_id, b.start_time, b.end_time FROM machines m CROSS JOIN LATERAL planned_busy(m.device_id, m.low, m.high) b
    ), jobs AS (
        SELECT m.device_id, r.start_time, coalesce(r.end_time, 'infinity') AS end_time, o.job_order, o.material
        FROM machines m
        JOIN job_responses r ON r.device_id = m.device_id AND r.start_time < m.high AND coalesce(r.end_time, 'infinity') > m.low
        JOIN job_orders o USING (job_order)
    ), cuts AS (
        SELECT m.device_id, m.path, m.low, m.high, c.at
        FROM machines m
        CROSS JOIN LATERAL (
            SELECT m.low AS at
            UNION SELECT unnest(ARRAY[s.start_time, s.end_time]) FROM shifts s WHERE s.device_id = m.device_id
            UNION SELECT unnest(ARRAY[b.start_time, b.end_time]) FROM busy b WHERE b.device_id = m.device_id
            UNION SELECT unnest(ARRAY[j.start_time, j.end_time]) FROM jobs j WHERE j.device_id = m.device_id
            UNION SELECT unnest(ARRAY[i.valid_from, i.valid_to]) FROM ideal_cycle_times i WHERE scope_covers(i.scope, m.path)
            UNION SELECT generate_series(date_trunc('hour', m.low, 'UTC'), m.high, interval '1 hour') WHERE hourly
        ) c
        WHERE c.at >= m.low AND c.at < m.high
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
COMMENT ON FUNCTION production_segments IS
    'The time of each machine of a part of the plant (empty: of all), cut wherever a shift, planned downtime, an order, a place or an ideal cycle time begins or ends, and at every full hour if hourly. Numbers are even and grow with time.';

CREATE FUNCTION oee_between(scope text, from_time timestamptz, to_time timestamptz, by text[] DEFAULT '{device}')
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
        SELECT m.device_id, i.start_time, i.end_time, i.packml_state, 2 * row_number() OVER (PARTITION BY m.device_id ORDER BY i.start_time) AS number
        FROM machines m CROSS JOIN LATERAL state_intervals(m.device_id, m.low, m.high) i
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
COMMENT ON FUNCTION oee_between(text, timestamptz, timestamptz, text[]) IS
    'OEE by ISO 22400-2 of a part of the plant (empty: of all) and what it is made of, by any of site, area, line, cell, device, shift, day, hour, order, product. A = APT/PBT, E = sum of PRI*PQ / APT, Q = GQ/PQ, OEE = A*E*Q, and 0 where nothing was made. PBT is the time of shifts less planned downtime, without a calendar the time with a known state; where it is 0, or no state at all is known in it, A and OEE are null. What is made in other time is apart (unplanned_...). Losses and OEE*PBT add up to PBT. A group of machines is the sum over those that make items.';

DROP VIEW oee;
DROP FUNCTION oee_between(timestamptz, timestamptz);
CREATE FUNCTION oee_between(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (device_id integer, pbt_s double precision, apt_s double precision, pri_s double precision, pq double precision, gq double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    SELECT d.device_id, o.pbt_s, o.apt_s, coalesce(o.ideal_s / nullif(o.pq, 0), ideal_cycle_time_at(d.device_id, NULL, from_time)), o.pq, o.gq
    FROM oee_between('', from_time, to_time, '{device}') o
    JOIN device d USING (path)
    WHERE o.pbt_s > o.unknown_s
$$;
COMMENT ON FUNCTION oee_between(timestamptz, timestamptz) IS
    'What OEE is made of, per device of whose planned busy time something is known in the range: planned busy time, actual production time, planned run time per item, produced and good quantity.';

CREATE VIEW oee AS
SELECT o.start, o.path AS device_path, d.device_class, o.pbt_s, o.apt_s,
       coalesce(o.ideal_s / nullif(o.pq, 0), ideal_cycle_time_at(d.device_id, NULL, o.start)) AS pri_s, o.pq, o.gq,
       o.availability, o.effectiveness, o.quality, o.oee, d.device_id
FROM oee_between('', date_trunc('hour', now(), 'UTC') - interval '23 hours', date_trunc('hour', now(), 'UTC') + interval '1 hour', '{device,hour}') o
JOIN device d USING (path)
WHERE o.pbt_s > o.unknown_s;
COMMENT ON VIEW oee IS
    'OEE by ISO 22400-2 for each hour of the last day, of each device of whose planned busy time something is known: A = APT/PBT, E = PRI*PQ/APT, Q = GQ/PQ. For other ranges and groups: oee_between.';
COMMENT ON COLUMN oee.start IS 'Start of the hour, inclusive; the last one is still running.';
COMMENT ON COLUMN oee.device_path IS 'Present path of the device.';
COMMENT ON COLUMN oee.device_class IS 'Class of the device.';
COMMENT ON COLUMN oee.pbt_s IS 'Planned busy time: time of shifts less planned downtime, seconds; without a calendar, time with a known PackML state.';
COMMENT ON COLUMN oee.apt_s IS 'Actual production time: planned busy time in PackML EXECUTE, seconds.';
COMMENT ON COLUMN oee.pri_s IS 'Planned run time per item, seconds; null when the device makes no items.';
COMMENT ON COLUMN oee.pq IS 'Produced quantity: growth of cycle_count in planned busy time.';
COMMENT ON COLUMN oee.gq IS 'Good quantity: produced quantity less growth of scrap_count.';
COMMENT ON COLUMN oee.availability IS 'A = APT/PBT.';
COMMENT ON COLUMN oee.effectiveness IS 'E = PRI*PQ/APT; above 1 when the machine runs faster than planned. Null without a planned run time or production.';
COMMENT ON COLUMN oee.quality IS 'Q = GQ/PQ; null without production.';
COMMENT ON COLUMN oee.oee IS 'A*E*Q; 0 when nothing was made, null without a planned run time.';
COMMENT ON COLUMN oee.device_id IS 'Device.';
GRANT SELECT ON oee TO millrace_reader;

CREATE FUNCTION downtime_pareto(scope text, from_time timestamptz, to_time timestamptz, depth integer DEFAULT NULL)
RETURNS TABLE (reason text, stops bigint, downtime_s double precision, share double precision, cumulative double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH pieces AS (
        SELECT d.device_id, d.start_time, d.end_time, CASE WHEN depth IS NULL THEN d.reason ELSE path_part(d.reason, depth) END AS reason
        FROM downtimes_between(scope, from_time, least(to_time, now())) d WHERE NOT d.planned
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
COMMENT ON FUNCTION downtime_pareto IS
    'Unplanned downtime of a part of the plant by reason, largest first, with its share and the sum of shares so far. depth cuts reasons to so many parts: 1 gives categories. Without a reason is what nobody and nothing explains.';

CREATE FUNCTION oee_losses(scope text, from_time timestamptz, to_time timestamptz)
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
        FROM downtimes_between(scope, from_time, least(to_time, now())) d JOIN machines m USING (device_id)
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
COMMENT ON FUNCTION oee_losses IS
    'Where the planned busy time of a part of the plant went: availability losses by reason, performance (slow cycles and small stops), quality (scrap), and what remains, effective time, whose share is OEE by time. The rows add up to PBT of the machines that make items.';

CREATE FUNCTION reliability_between(scope text, from_time timestamptz, to_time timestamptz, failure_reasons text[] DEFAULT NULL)
RETURNS TABLE (path text, failures bigint, operating_s double precision, repair_s double precision, mtbf_s double precision, mttr_s double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH pieces AS (
        SELECT d.device_id, d.start_time, d.end_time,
               CASE WHEN failure_reasons IS NULL THEN d.packml_state IN ('ABORTING', 'ABORTED')
                    ELSE EXISTS (SELECT FROM unnest(failure_reasons) f WHERE scope_covers(f, d.reason)) END AS failed
        FROM downtimes_between(scope, from_time, least(to_time, now())) d WHERE NOT d.planned
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
COMMENT ON FUNCTION reliability_between IS
    'MTBF (actual production time per failure) and MTTR (downtime per failure) of each machine. A stop is what lies between two times of EXECUTE, less planned downtime; it is a failure when the machine was in ABORTED, or, with failure_reasons, when it has a reason at or below one of these. Null without a failure.';

CREATE FUNCTION energy_between(scope text, from_time timestamptz, to_time timestamptz, by text[] DEFAULT '{device}')
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
        SELECT m.device_id, i.start_time, i.end_time, i.packml_state, 2 * row_number() OVER (PARTITION BY m.device_id ORDER BY i.start_time) AS number
        FROM machines m CROSS JOIN LATERAL state_intervals(m.device_id, m.low, m.high) i
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
COMMENT ON FUNCTION energy_between IS
    'Energy that a part of the plant (empty: all of it) used, from its counters (tags named energy), by any of site, area, line, cell, device, shift, day, hour, order, product and PackML state. Between two readings the power is taken as constant. time_s is machine time.';

CREATE FUNCTION energy_per_piece(scope text, from_time timestamptz, to_time timestamptz, by text[] DEFAULT '{device}')
RETURNS TABLE (path text, shift_day date, shift text, start timestamptz, job_order text, material text, energy double precision, unit text,
               good_pieces double precision, energy_per_piece double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH used AS MATERIALIZED (
        SELECT * FROM energy_between(scope, from_time, to_time, by)
    ), made AS MATERIALIZED (
        SELECT o.path, o.shift_day, o.shift, o.start, o.job_order, o.material, o.gq + o.unplanned_gq AS pieces FROM oee_between(scope, from_time, to_time, by) o
    )
    SELECT u.path, u.shift_day, u.shift, u.start, u.job_order, u.material, u.energy, u.unit, m.pieces, u.energy / nullif(m.pieces, 0)
    FROM used u
    LEFT JOIN made m ON (m.path, m.shift_day, m.shift, m.start, m.job_order, m.material) IS NOT DISTINCT FROM (u.path, u.shift_day, u.shift, u.start, u.job_order, u.material)
$$;
COMMENT ON FUNCTION energy_per_piece IS
    'Energy by the same groups (without state) over the good pieces that machines counted in that time, idle time included. The pieces of several machines add up.';

CREATE FUNCTION cycle_times(device integer, from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, cycle_time_s double precision, cycles double precision)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH marks AS (
        SELECT i.start_time AS at, true AS begins, i.packml_state, 0.0::double precision AS growth FROM state_intervals(device, from_time, to_time) i
        UNION ALL
        SELECT c.time, false, NULL, c.growth
        FROM tags t CROSS JOIN LATERAL counter_steps(t.tag_id, from_time, to_time) c
        WHERE t.device_id = device AND t.name = 'cycle_count' AND c.growth > 0
    ), numbered AS (
        -- A count in the moment in which the state changes belongs to the state that ends.
        SELECT m.*, count(*) FILTER (WHERE m.begins) OVER (ORDER BY m.at, m.begins) AS interval FROM marks m
    ), within AS (
        SELECT n.at, n.growth, n.begins, first_value(n.packml_state) OVER w AS state, lag(n.at) OVER (PARTITION BY n.interval, n.begins ORDER BY n.at) AS before
        FROM numbered n WINDOW w AS (PARTITION BY n.interval ORDER BY n.at, n.begins DESC)
    )
    SELECT w.at, (extract(epoch FROM w.at - w.before) / w.growth)::double precision, w.growth
    FROM within w WHERE NOT w.begins AND w.state = 'EXECUTE' AND w.before IS NOT NULL
    ORDER BY w.at
$$;
COMMENT ON FUNCTION cycle_times IS
    'Cycle times of a machine: between two counts of cycle_count in the same EXECUTE interval. Cycles that were interrupted are left out; where a sample counts several, their mean and number.';

CREATE FUNCTION cycle_time_distribution(scope text, from_time timestamptz, to_time timestamptz, slow_factor double precision DEFAULT 1.5)
RETURNS TABLE (path text, material text, ideal_s double precision, cycles bigint, mean_s double precision, p05_s double precision, median_s double precision,
               p95_s double precision, max_s double precision, slow bigint)
LANGUAGE sql STABLE SET jit = off AS $$
    WITH cycles AS MATERIALIZED (
        SELECT d.device_id, d.path, o.material, c.cycle_time_s
        FROM device d
        CROSS JOIN LATERAL cycle_times(d.device_id, from_time, to_time) c
        LEFT JOIN job_responses r ON r.device_id = d.device_id AND r.start_time <= c.time AND coalesce(r.end_time, 'infinity') > c.time
        LEFT JOIN job_orders o ON o.job_order = r.job_order
        WHERE cycle_time_distribution.scope = '' OR scope_covers(cycle_time_distribution.scope, d.path)
    ), ideal AS MATERIALIZED (
        SELECT k.device_id, k.material, ideal_cycle_time_at(k.device_id, k.material, from_time) AS ideal_s
        FROM (SELECT DISTINCT c.device_id, c.material FROM cycles c) k
    )
    SELECT c.path, c.material, i.ideal_s, count(*), avg(c.cycle_time_s),
           percentile_cont(0.05) WITHIN GROUP (ORDER BY c.cycle_time_s), percentile_cont(0.5) WITHIN GROUP (ORDER BY c.cycle_time_s),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY c.cycle_time_s), max(c.cycle_time_s), count(*) FILTER (WHERE c.cycle_time_s > slow_factor * i.ideal_s)
    FROM cycles c JOIN ideal i ON i.device_id = c.device_id AND i.material IS NOT DISTINCT FROM c.material
    GROUP BY c.path, c.material, i.ideal_s
$$;
COMMENT ON FUNCTION cycle_time_distribution IS
    'Cycle times of each machine and product: number, mean, percentiles, the longest, and how many took longer than slow_factor times the ideal.';

CREATE FUNCTION production_against_plan(scope text, from_time timestamptz, to_time timestamptz, counted_class text DEFAULT NULL)
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
        FROM oee_between(o.scope, r.started, coalesce(r.ended, now()), '{device,order}') f
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
    WHERE (production_against_plan.scope = '' OR scope_covers(production_against_plan.scope, o.scope))
      AND o.planned_start < to_time AND greatest(o.planned_end, coalesce(r.ended, o.planned_end)) > from_time
    ORDER BY o.planned_start
$$;
COMMENT ON FUNCTION production_against_plan IS
    'Orders of a part of the plant (empty: of all) that are planned or ran in the range: good pieces as machines counted them over the whole order, of the machines of one class where one piece passes several, what lots declare, and what an even pace would have made by now.';

CREATE FUNCTION scrap_by_reason(scope text, from_time timestamptz, to_time timestamptz)
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
    FROM rows r WHERE r.quantity > 0
    ORDER BY r.quantity DESC, r.reason
$$;
COMMENT ON FUNCTION scrap_by_reason IS
    'Scrap of a part of the plant (empty: of all) by the reason that people gave, largest first; without a reason is what machines counted beyond that.';
