-- An alarm of which it becomes known that it never was counts for nothing; and alarms that ended long ago are not kept for ever.

ALTER TABLE alarm_events ADD COLUMN withdrawn boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN alarm_events.withdrawn IS 'Of RETURNED: it has become known that the alarm never was.';
CREATE INDEX alarm_events_withdrawn ON alarm_events (alarm_id) WHERE withdrawn;

CREATE OR REPLACE VIEW annunciation AS
SELECT e.time, array_to_string((string_to_array(e.path, '/'))[1:CASE WHEN e.device_id = 0 THEN 2 ELSE 3 END], '/') AS scope,
       e.priority, e.path, e.rule, e.kind, e.site, e.alarm_id, e.source_id, e.version,
       e.device_id, e.gateway_id
FROM alarm_events e
WHERE e.kind IN ('RAISED', 'RAISED_AGAIN') AND e.state = 'UNACKNOWLEDGED'
  AND NOT EXISTS (SELECT FROM alarm_events w WHERE w.withdrawn AND w.alarm_id = e.alarm_id);
COMMENT ON VIEW annunciation IS 'New alarms that a person saw, and that were: what the figures of an alarm system count.';
COMMENT ON COLUMN annunciation.device_id IS 'Device; 0 for a gateway''s alarm.';
COMMENT ON COLUMN annunciation.gateway_id IS 'Gateway of the device, or the gateway itself.';

-- For retention: what stands is kept, however old.
CREATE INDEX alarms_over ON alarms (updated_at) WHERE state = 'NORMAL';
