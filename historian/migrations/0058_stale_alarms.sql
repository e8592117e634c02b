-- Stale alarms without a walk through all history: an alarm that stood at a moment stands still, or something has happened to it since. So those that
-- stand now are asked for what they were, and those of events after the moment; for now there are none of the latter.

CREATE OR REPLACE FUNCTION stale_alarms(at_time timestamptz DEFAULT now(), older_than interval DEFAULT '24 hours')
RETURNS TABLE (path text, rule text, priority text, since timestamptz, alarm_id uuid)
LANGUAGE sql STABLE AS $$
    WITH stood AS (
        SELECT a.alarm_id FROM alarms a WHERE a.state <> 'NORMAL' AND a.start_time <= at_time - older_than
        UNION
        SELECT e.alarm_id FROM alarm_events e WHERE e.time > at_time AND e.kind IN ('RAISED_AGAIN', 'RETURNED', 'RULE_RETIRED')
    )
    SELECT n.path, n.rule, n.priority, n.time, n.alarm_id
    FROM stood s CROSS JOIN LATERAL (
        SELECT e.* FROM alarm_events e
        WHERE e.alarm_id = s.alarm_id AND e.kind IN ('RAISED', 'RAISED_AGAIN', 'RETURNED', 'RULE_RETIRED') AND e.time <= at_time
        ORDER BY e.version DESC LIMIT 1
    ) n
    WHERE n.kind IN ('RAISED', 'RAISED_AGAIN') AND n.time <= at_time - older_than ORDER BY n.time, n.path
$$;
COMMENT ON FUNCTION stale_alarms IS 'Alarms whose condition has held for longer than a day: nobody responds to them.';
