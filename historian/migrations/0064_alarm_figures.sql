-- The figures of alarms for a part of the plant: what a page shows to who sees that part alone. Without a part they are of all, as before.

CREATE INDEX alarms_source ON alarms (source_id, updated_at);
CREATE INDEX alarm_events_chattering ON alarm_events (time) WHERE kind = 'CHATTERING';

CREATE FUNCTION alarm_title(of_source uuid) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT a.title FROM alarms a WHERE a.source_id = of_source ORDER BY a.updated_at DESC LIMIT 1
$$;
COMMENT ON FUNCTION alarm_title IS 'What the alarm of a source is called now.';

DROP FUNCTION alarm_kpis(timestamptz, timestamptz);
DROP FUNCTION alarm_rates(timestamptz, timestamptz);
DROP FUNCTION alarm_top(timestamptz, timestamptz, integer);
DROP FUNCTION stale_alarms(timestamptz, interval);

CREATE FUNCTION alarm_rates(from_time timestamptz, to_time timestamptz, paths text[] DEFAULT '{""}', gateways text[] DEFAULT '{}')
RETURNS TABLE (scope text, start timestamptz, alarms bigint, flood boolean)
LANGUAGE sql STABLE AS $$
    SELECT a.scope, date_bin('10 minutes', a.time, from_time), count(*), count(*) > 10
    FROM annunciation a
    WHERE until_now(from_time, to_time) IS NOT NULL AND a.time >= from_time AND a.time < to_time
      AND (scopes_cover(paths, a.path) OR (a.device_id = 0 AND a.gateway_id = ANY (gateways)))
    GROUP BY 1, 2 ORDER BY 1, 2
$$;
COMMENT ON FUNCTION alarm_rates IS 'New alarms of each scope per 10 minutes from a moment on; flood: more than 10. Without a row there were none. Of all, or of what lies under paths and of gateways.';

CREATE FUNCTION alarm_kpis(from_time timestamptz, to_time timestamptz, paths text[] DEFAULT '{""}', gateways text[] DEFAULT '{}')
RETURNS TABLE (scope text, alarms bigint, per_10_min double precision, peak_10_min bigint, flood_share double precision, critical double precision,
               high double precision, medium double precision, low double precision, acknowledged bigint, time_to_acknowledge interval)
LANGUAGE sql STABLE AS $$
    WITH span AS (
        SELECT from_time AS begin, u.until, extract(epoch FROM u.until - from_time) AS seconds FROM (SELECT until_now(from_time, to_time) AS until) u
    ), seen AS (
        SELECT a.*, p.seconds FROM annunciation a, span p WHERE until_now(from_time, to_time) IS NOT NULL AND a.time >= p.begin AND a.time < p.until
          AND (scopes_cover(paths, a.path) OR (a.device_id = 0 AND a.gateway_id = ANY (gateways)))
    ), rates AS (
        SELECT r.scope, max(r.alarms) AS peak, count(*) FILTER (WHERE r.flood) AS floods FROM span p, alarm_rates(p.begin, p.until, paths, gateways) r GROUP BY r.scope
    ), answers AS (
        -- The acknowledgement of an activation, if one came before the next.
        SELECT s.scope, min(e.time) - s.time AS took
        FROM seen s JOIN alarm_events e ON e.alarm_id = s.alarm_id AND e.kind = 'ACKNOWLEDGED' AND e.version > s.version
        WHERE NOT EXISTS (SELECT FROM alarm_events n WHERE n.alarm_id = s.alarm_id AND n.kind = 'RAISED_AGAIN' AND n.version > s.version AND n.version < e.version)
        GROUP BY s.scope, s.alarm_id, s.version, s.time
    ), took AS (
        SELECT a.scope, count(*) AS acknowledged, percentile_cont(0.5) WITHIN GROUP (ORDER BY a.took) AS median FROM answers a GROUP BY a.scope
    )
    SELECT s.scope, count(*), count(*) * 600.0 / max(s.seconds), max(r.peak), max(r.floods) / ceil(max(s.seconds) / 600.0)::double precision,
           count(*) FILTER (WHERE s.priority = 'CRITICAL')::double precision / count(*), count(*) FILTER (WHERE s.priority = 'HIGH')::double precision / count(*),
           count(*) FILTER (WHERE s.priority = 'MEDIUM')::double precision / count(*), count(*) FILTER (WHERE s.priority = 'LOW')::double precision / count(*),
           coalesce(max(t.acknowledged), 0), max(t.median)
    FROM seen s JOIN rates r USING (scope) LEFT JOIN took t USING (scope)
    GROUP BY s.scope ORDER BY count(*) DESC, s.scope
$$;
COMMENT ON FUNCTION alarm_kpis IS
    'Figures of EEMUA 191 of each scope: new alarms, mean and peak per 10 minutes, share of 10-minute spans in flood, shares of priorities, median time to acknowledge. Of all, or of what lies under paths and of gateways.';

CREATE FUNCTION alarm_top(from_time timestamptz, to_time timestamptz, most integer DEFAULT 10, paths text[] DEFAULT '{""}', gateways text[] DEFAULT '{}')
RETURNS TABLE (path text, rule text, alarms bigint, share double precision, chattering boolean, chattered bigint, title text)
LANGUAGE sql STABLE AS $$
    WITH seen AS (
        SELECT a.* FROM annunciation a
        WHERE is_range(from_time, to_time) AND a.time >= from_time AND a.time < to_time
          AND (scopes_cover(paths, a.path) OR (a.device_id = 0 AND a.gateway_id = ANY (gateways)))
    ), most_of AS (
        SELECT s.source_id, s.path, s.rule, count(*) AS alarms, count(*)::double precision / (SELECT count(*) FROM seen) AS share
        FROM seen s GROUP BY s.source_id, s.path, s.rule ORDER BY count(*) DESC, s.path, s.rule LIMIT most
    )
    SELECT m.path, m.rule, m.alarms, m.share, c.chattered > 0, c.chattered, alarm_title(m.source_id)
    FROM most_of m CROSS JOIN LATERAL (
        SELECT count(*) AS chattered FROM alarm_events e
        WHERE e.source_id = m.source_id AND e.kind = 'CHATTERING' AND e.time >= from_time AND e.time < to_time
    ) c ORDER BY m.alarms DESC, m.path, m.rule
$$;
COMMENT ON FUNCTION alarm_top IS 'The sources with most new alarms, their share of all, whether and how often they chattered: where to begin. Of all, or of what lies under paths and of gateways.';

CREATE FUNCTION alarm_chattering(from_time timestamptz, to_time timestamptz, most integer DEFAULT 10, paths text[] DEFAULT '{""}', gateways text[] DEFAULT '{}')
RETURNS TABLE (path text, rule text, chattered bigint, title text)
LANGUAGE sql STABLE AS $$
    SELECT e.path, e.rule, count(*), alarm_title(e.source_id) FROM alarm_events e
    WHERE is_range(from_time, to_time) AND e.kind = 'CHATTERING' AND e.time >= from_time AND e.time < to_time
      AND (scopes_cover(paths, e.path) OR (e.device_id = 0 AND e.gateway_id = ANY (gateways)))
    GROUP BY e.source_id, e.path, e.rule ORDER BY count(*) DESC, e.path, e.rule LIMIT most
$$;
COMMENT ON FUNCTION alarm_chattering IS 'Sources that came and went too often, and how often they began to. Of all, or of what lies under paths and of gateways.';

CREATE FUNCTION stale_alarms(at_time timestamptz DEFAULT now(), older_than interval DEFAULT '24 hours', paths text[] DEFAULT '{""}', gateways text[] DEFAULT '{}')
RETURNS TABLE (path text, rule text, priority text, since timestamptz, alarm_id uuid, title text)
LANGUAGE sql STABLE AS $$
    WITH stood AS (
        SELECT a.alarm_id FROM alarms a WHERE a.state <> 'NORMAL' AND a.start_time <= at_time - older_than
        UNION
        SELECT e.alarm_id FROM alarm_events e WHERE e.time > at_time AND e.kind IN ('RAISED_AGAIN', 'RETURNED', 'RULE_RETIRED')
    )
    SELECT n.path, n.rule, n.priority, n.time, n.alarm_id, alarm_title(n.source_id)
    FROM stood s CROSS JOIN LATERAL (
        SELECT e.* FROM alarm_events e
        WHERE e.alarm_id = s.alarm_id AND e.kind IN ('RAISED', 'RAISED_AGAIN', 'RETURNED', 'RULE_RETIRED') AND e.time <= at_time
        ORDER BY e.version DESC LIMIT 1
    ) n
    WHERE n.kind IN ('RAISED', 'RAISED_AGAIN') AND n.time <= at_time - older_than
      AND (scopes_cover(paths, n.path) OR (n.device_id = 0 AND n.gateway_id = ANY (gateways)))
    ORDER BY n.time, n.path
$$;
COMMENT ON FUNCTION stale_alarms IS 'Alarms whose condition has held for longer than a day: nobody responds to them. Of all, or of what lies under paths and of gateways.';
