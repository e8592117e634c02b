-- Alarms: where each stands, what happened to it, and the figures of EEMUA 191 that tell whether an alarm system is one that people can live with.

CREATE TABLE alarms (
    alarm_id uuid PRIMARY KEY,
    source_id uuid NOT NULL,
    version integer NOT NULL,
    site text NOT NULL,
    rule text NOT NULL,
    rule_version integer NOT NULL,
    device_id integer NOT NULL,
    gateway_id text NOT NULL,
    tag_id integer,
    path text NOT NULL,
    priority text NOT NULL,
    state text NOT NULL,
    active boolean NOT NULL,
    start_time timestamptz,
    activated_at timestamptz,
    returned_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text NOT NULL,
    activations integer NOT NULL,
    overrides jsonb NOT NULL,
    value double precision,
    detail text NOT NULL,
    cause_alarm_id uuid,
    first_out boolean NOT NULL,
    chattering boolean NOT NULL,
    fleeting boolean NOT NULL,
    late boolean NOT NULL,
    title text NOT NULL,
    cause text NOT NULL,
    consequence text NOT NULL,
    corrective_action text NOT NULL,
    comment text NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX alarms_start ON alarms (start_time);
CREATE INDEX alarms_standing ON alarms (state) WHERE state <> 'NORMAL';
COMMENT ON TABLE alarms IS 'Where each alarm stands, newest record. Where alarm_id is source_id it is the source itself. People read the view alarm.';
COMMENT ON COLUMN alarms.alarm_id IS 'Alarm: one episode of a source.';
COMMENT ON COLUMN alarms.source_id IS 'Source: the rule at its device or gateway.';
COMMENT ON COLUMN alarms.version IS 'Number of the record; the highest stays.';
COMMENT ON COLUMN alarms.site IS 'Site.';
COMMENT ON COLUMN alarms.rule IS 'Name of the rule.';
COMMENT ON COLUMN alarms.rule_version IS 'Version of the rule that it stands under.';
COMMENT ON COLUMN alarms.device_id IS 'Device; 0 for a gateway.';
COMMENT ON COLUMN alarms.gateway_id IS 'Gateway.';
COMMENT ON COLUMN alarms.tag_id IS 'Tag that the rule watches, if it is one.';
COMMENT ON COLUMN alarms.path IS 'Path of tag, device or gateway when it was recorded.';
COMMENT ON COLUMN alarms.priority IS 'CRITICAL, HIGH, MEDIUM or LOW.';
COMMENT ON COLUMN alarms.state IS 'Effective state of ISA-18.2.';
COMMENT ON COLUMN alarms.active IS 'Whether the condition holds.';
COMMENT ON COLUMN alarms.start_time IS 'When the condition began to hold; null for a source.';
COMMENT ON COLUMN alarms.activated_at IS 'When it was last raised.';
COMMENT ON COLUMN alarms.returned_at IS 'When its condition was last over; null while it holds.';
COMMENT ON COLUMN alarms.acknowledged_at IS 'When it was acknowledged; null while it is not.';
COMMENT ON COLUMN alarms.acknowledged_by IS 'Who acknowledged it.';
COMMENT ON COLUMN alarms.activations IS 'How often it was raised before it was normal again.';
COMMENT ON COLUMN alarms.overrides IS 'What hides or holds it: kind, since_us, by, reason, until_us.';
COMMENT ON COLUMN alarms.value IS 'Value when it was raised.';
COMMENT ON COLUMN alarms.detail IS 'What was seen.';
COMMENT ON COLUMN alarms.cause_alarm_id IS 'Alarm that it follows from.';
COMMENT ON COLUMN alarms.first_out IS 'Whether it came first in its group.';
COMMENT ON COLUMN alarms.chattering IS 'Whether it comes and goes too often.';
COMMENT ON COLUMN alarms.fleeting IS 'Whether its last activation was over before anybody could act.';
COMMENT ON COLUMN alarms.late IS 'Whether it became known long after it began.';
COMMENT ON COLUMN alarms.title IS 'What it is called.';
COMMENT ON COLUMN alarms.cause IS 'Usual cause.';
COMMENT ON COLUMN alarms.consequence IS 'What happens when nobody acts.';
COMMENT ON COLUMN alarms.corrective_action IS 'What to do.';
COMMENT ON COLUMN alarms.comment IS 'Latest comment.';
COMMENT ON COLUMN alarms.updated_at IS 'Time of the newest record.';

CREATE TABLE alarm_events (
    event_id uuid PRIMARY KEY,
    alarm_id uuid NOT NULL,
    source_id uuid NOT NULL,
    version integer NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    site text NOT NULL,
    rule text NOT NULL,
    device_id integer NOT NULL,
    gateway_id text NOT NULL,
    path text NOT NULL,
    priority text,
    time timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    who text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    action_id uuid,
    until_time timestamptz,
    value double precision,
    late boolean NOT NULL
);
CREATE INDEX alarm_events_time ON alarm_events (time);
CREATE INDEX alarm_events_alarm ON alarm_events (alarm_id, version);
COMMENT ON TABLE alarm_events IS 'Everything that happened to alarms, their sources and scopes.';
COMMENT ON COLUMN alarm_events.event_id IS 'Event.';
COMMENT ON COLUMN alarm_events.alarm_id IS 'Alarm; the source for what happened to the source; a flood''s own id.';
COMMENT ON COLUMN alarm_events.source_id IS 'Source.';
COMMENT ON COLUMN alarm_events.version IS 'Version of the alarm''s record that it made.';
COMMENT ON COLUMN alarm_events.kind IS 'RAISED, RAISED_AGAIN, RETURNED, ACKNOWLEDGED, SHELVED and so on.';
COMMENT ON COLUMN alarm_events.state IS 'Effective state behind it.';
COMMENT ON COLUMN alarm_events.site IS 'Site.';
COMMENT ON COLUMN alarm_events.rule IS 'Name of the rule; empty for a flood.';
COMMENT ON COLUMN alarm_events.device_id IS 'Device; 0 for a gateway or a flood.';
COMMENT ON COLUMN alarm_events.gateway_id IS 'Gateway.';
COMMENT ON COLUMN alarm_events.path IS 'Path of tag, device or gateway; of a flood its scope.';
COMMENT ON COLUMN alarm_events.priority IS 'Priority of the alarm; null for a flood.';
COMMENT ON COLUMN alarm_events.time IS 'When it happened, event time; of an action when it was asked for.';
COMMENT ON COLUMN alarm_events.recorded_at IS 'When it was recorded.';
COMMENT ON COLUMN alarm_events.who IS 'Who did it; empty for what nobody did.';
COMMENT ON COLUMN alarm_events.reason IS 'Why.';
COMMENT ON COLUMN alarm_events.detail IS 'What was seen, or why an action was refused.';
COMMENT ON COLUMN alarm_events.action_id IS 'Action that it answers.';
COMMENT ON COLUMN alarm_events.until_time IS 'End of a shelving or an out of service.';
COMMENT ON COLUMN alarm_events.value IS 'Value when the alarm was raised.';
COMMENT ON COLUMN alarm_events.late IS 'Whether the alarm became known long after it began.';

CREATE VIEW alarm AS
SELECT start_time, priority, state, path, title, active, activated_at, returned_at, acknowledged_at, acknowledged_by, activations, value, detail,
       chattering, fleeting, late, first_out, cause_alarm_id, cause, consequence, corrective_action, comment, overrides, rule, rule_version,
       site, device_id, gateway_id, tag_id, updated_at, alarm_id, source_id, version
FROM alarms WHERE start_time IS NOT NULL;
COMMENT ON VIEW alarm IS 'Alarms, standing ones and those that are over. Standing: state <> ''NORMAL''.';
COMMENT ON COLUMN alarm.start_time IS 'When the condition began to hold.';
COMMENT ON COLUMN alarm.priority IS 'CRITICAL, HIGH, MEDIUM or LOW.';
COMMENT ON COLUMN alarm.state IS 'NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED_UNACKNOWLEDGED, SHELVED, SUPPRESSED or OUT_OF_SERVICE.';
COMMENT ON COLUMN alarm.path IS 'Path of tag, device or gateway when it was recorded.';
COMMENT ON COLUMN alarm.title IS 'What it is called.';
COMMENT ON COLUMN alarm.active IS 'Whether the condition holds.';
COMMENT ON COLUMN alarm.activated_at IS 'When it was last raised, delays included.';
COMMENT ON COLUMN alarm.returned_at IS 'When its condition was last over; null while it holds.';
COMMENT ON COLUMN alarm.acknowledged_at IS 'When it was acknowledged; null while it is not.';
COMMENT ON COLUMN alarm.acknowledged_by IS 'Who acknowledged it.';
COMMENT ON COLUMN alarm.activations IS 'How often it was raised before it was normal again.';
COMMENT ON COLUMN alarm.value IS 'Value when it was raised, in the tag''s unit.';
COMMENT ON COLUMN alarm.detail IS 'What was seen.';
COMMENT ON COLUMN alarm.chattering IS 'Whether it comes and goes too often.';
COMMENT ON COLUMN alarm.fleeting IS 'Whether its last activation was over before anybody could act.';
COMMENT ON COLUMN alarm.late IS 'Whether it became known long after it began.';
COMMENT ON COLUMN alarm.first_out IS 'Whether it came first in its group.';
COMMENT ON COLUMN alarm.cause_alarm_id IS 'Alarm that it follows from.';
COMMENT ON COLUMN alarm.cause IS 'Usual cause.';
COMMENT ON COLUMN alarm.consequence IS 'What happens when nobody acts.';
COMMENT ON COLUMN alarm.corrective_action IS 'What to do.';
COMMENT ON COLUMN alarm.comment IS 'Latest comment.';
COMMENT ON COLUMN alarm.overrides IS 'What hides or holds it: kind, since_us, by, reason, until_us.';
COMMENT ON COLUMN alarm.rule IS 'Name of the rule.';
COMMENT ON COLUMN alarm.rule_version IS 'Version of the rule that it stands under.';
COMMENT ON COLUMN alarm.site IS 'Site.';
COMMENT ON COLUMN alarm.device_id IS 'Device; 0 for a gateway.';
COMMENT ON COLUMN alarm.gateway_id IS 'Gateway.';
COMMENT ON COLUMN alarm.tag_id IS 'Tag that the rule watches, if it is one.';
COMMENT ON COLUMN alarm.updated_at IS 'Time of the newest record.';
COMMENT ON COLUMN alarm.alarm_id IS 'Alarm.';
COMMENT ON COLUMN alarm.source_id IS 'The rule at its device or gateway.';
COMMENT ON COLUMN alarm.version IS 'Number of the record.';

-- What a person has seen come: neither suppressed nor shelved nor switched off. An operator's scope is an area; of a gateway, its site.
CREATE VIEW annunciation AS
SELECT e.time, array_to_string((string_to_array(e.path, '/'))[1:CASE WHEN e.device_id = 0 THEN 2 ELSE 3 END], '/') AS scope,
       e.priority, e.path, e.rule, e.kind, e.site, e.alarm_id, e.source_id, e.version
FROM alarm_events e WHERE e.kind IN ('RAISED', 'RAISED_AGAIN') AND e.state = 'UNACKNOWLEDGED';
COMMENT ON VIEW annunciation IS 'New alarms that a person saw: what the figures of an alarm system count.';
COMMENT ON COLUMN annunciation.time IS 'When it was raised.';
COMMENT ON COLUMN annunciation.scope IS 'Area, as what one operator looks after; the site for a gateway''s alarm.';
COMMENT ON COLUMN annunciation.priority IS 'CRITICAL, HIGH, MEDIUM or LOW.';
COMMENT ON COLUMN annunciation.path IS 'Path of tag, device or gateway.';
COMMENT ON COLUMN annunciation.rule IS 'Name of the rule.';
COMMENT ON COLUMN annunciation.kind IS 'RAISED or RAISED_AGAIN.';
COMMENT ON COLUMN annunciation.site IS 'Site.';
COMMENT ON COLUMN annunciation.alarm_id IS 'Alarm.';
COMMENT ON COLUMN annunciation.source_id IS 'Source.';
COMMENT ON COLUMN annunciation.version IS 'Version of the alarm''s record.';

CREATE FUNCTION alarm_rates(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (scope text, start timestamptz, alarms bigint, flood boolean)
LANGUAGE sql STABLE AS $$
    SELECT a.scope, date_bin('10 minutes', a.time, from_time), count(*), count(*) > 10
    FROM annunciation a WHERE until_now(from_time, to_time) IS NOT NULL AND a.time >= from_time AND a.time < to_time GROUP BY 1, 2 ORDER BY 1, 2
$$;
COMMENT ON FUNCTION alarm_rates IS 'New alarms of each scope per 10 minutes from a moment on; flood: more than 10. Without a row there were none.';

CREATE FUNCTION alarm_kpis(from_time timestamptz, to_time timestamptz)
RETURNS TABLE (scope text, alarms bigint, per_10_min double precision, peak_10_min bigint, flood_share double precision, critical double precision,
               high double precision, medium double precision, low double precision, acknowledged bigint, time_to_acknowledge interval)
LANGUAGE sql STABLE AS $$
    WITH span AS (
        SELECT from_time AS begin, u.until, extract(epoch FROM u.until - from_time) AS seconds FROM (SELECT until_now(from_time, to_time) AS until) u
    ), seen AS (
        SELECT a.*, p.seconds FROM annunciation a, span p WHERE until_now(from_time, to_time) IS NOT NULL AND a.time >= p.begin AND a.time < p.until
    ), rates AS (
        SELECT r.scope, max(r.alarms) AS peak, count(*) FILTER (WHERE r.flood) AS floods FROM span p, alarm_rates(p.begin, p.until) r GROUP BY r.scope
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
    'Figures of EEMUA 191 of each scope: new alarms, mean and peak per 10 minutes, share of 10-minute spans in flood, shares of priorities, median time to acknowledge.';

CREATE FUNCTION alarm_top(from_time timestamptz, to_time timestamptz, most integer DEFAULT 10)
RETURNS TABLE (path text, rule text, alarms bigint, share double precision, chattering boolean)
LANGUAGE sql STABLE AS $$
    WITH seen AS (
        SELECT a.* FROM annunciation a WHERE is_range(from_time, to_time) AND a.time >= from_time AND a.time < to_time
    )
    SELECT s.path, s.rule, count(*), count(*)::double precision / (SELECT count(*) FROM seen),
           EXISTS (SELECT FROM alarm_events e WHERE e.source_id = s.source_id AND e.kind = 'CHATTERING' AND e.time >= from_time AND e.time < to_time)
    FROM seen s GROUP BY s.source_id, s.path, s.rule ORDER BY count(*) DESC, s.path, s.rule LIMIT most
$$;
COMMENT ON FUNCTION alarm_top IS 'The sources with most new alarms, their share of all, and whether they chattered: where to begin.';

CREATE FUNCTION stale_alarms(at_time timestamptz DEFAULT now(), older_than interval DEFAULT '24 hours')
RETURNS TABLE (path text, rule text, priority text, since timestamptz, alarm_id uuid)
LANGUAGE sql STABLE AS $$
    SELECT e.path, e.rule, e.priority, e.time, e.alarm_id
    FROM (SELECT DISTINCT ON (e.alarm_id) e.* FROM alarm_events e
          WHERE e.kind IN ('RAISED', 'RAISED_AGAIN', 'RETURNED', 'RULE_RETIRED') AND e.time <= at_time ORDER BY e.alarm_id, e.version DESC) e
    WHERE e.kind IN ('RAISED', 'RAISED_AGAIN') AND e.time <= at_time - older_than ORDER BY e.time, e.path
$$;
COMMENT ON FUNCTION stale_alarms IS 'Alarms whose condition has held for longer than a day: nobody responds to them.';

GRANT SELECT ON alarms, alarm_events, alarm, annunciation TO millrace_reader;
GRANT SELECT, INSERT, UPDATE ON alarms TO millrace_writer;
GRANT INSERT ON alarm_events TO millrace_writer;
