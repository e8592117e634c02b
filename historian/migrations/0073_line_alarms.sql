-- Alarms of a line: of no device and of no gateway, with the line's path. An operator's scope is its area, as of a device.

CREATE OR REPLACE VIEW annunciation AS
SELECT e.time,
       array_to_string((string_to_array(e.path, '/'))[1:CASE WHEN e.device_id = 0 AND e.gateway_id <> '' THEN 2 ELSE 3 END], '/') AS scope,
       e.priority, e.path, e.rule, e.kind, e.site, e.alarm_id, e.source_id, e.version,
       e.device_id, e.gateway_id
FROM alarm_events e
WHERE e.kind IN ('RAISED', 'RAISED_AGAIN') AND e.state = 'UNACKNOWLEDGED'
  AND NOT EXISTS (SELECT FROM alarm_events w WHERE w.withdrawn AND w.alarm_id = e.alarm_id);

COMMENT ON COLUMN alarms.device_id IS 'Device; 0 for a gateway or a line.';
COMMENT ON COLUMN alarms.gateway_id IS 'Gateway of the device, or the gateway itself; empty for a line.';
COMMENT ON COLUMN alarm_events.device_id IS 'Device; 0 for a gateway, a line or a flood.';
COMMENT ON COLUMN alarm_events.path IS 'Path of tag, device, line or gateway; of a flood its scope.';
COMMENT ON COLUMN alarm.path IS 'Path of tag, device, line or gateway when it was recorded.';
COMMENT ON COLUMN alarm.device_id IS 'Device; 0 for a gateway or a line.';
COMMENT ON COLUMN alarm.gateway_id IS 'Gateway; empty for a line.';
COMMENT ON COLUMN alarm.source_id IS 'The rule at its device, line or gateway.';
COMMENT ON COLUMN annunciation.device_id IS 'Device; 0 for an alarm of a gateway or a line.';
COMMENT ON COLUMN annunciation.gateway_id IS 'Gateway of the device, or the gateway itself; empty for a line.';
