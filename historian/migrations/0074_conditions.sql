-- Alarms of conditions of machines' own servers: which condition, and whether the machine is acknowledged as well.

ALTER TABLE alarms
    ADD COLUMN condition text NOT NULL DEFAULT '',
    ADD COLUMN acknowledged_at_machine boolean NOT NULL DEFAULT false,
    ADD COLUMN seen_us bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN alarms.condition IS 'Condition of the machine''s own server, by connection and node id; empty for an alarm of no condition.';
COMMENT ON COLUMN alarms.acknowledged_at_machine IS 'Whether the machine said that nothing waits there for an acknowledgement, as far as the alarm stood.';
COMMENT ON COLUMN alarms.seen_us IS 'When it came last before the acknowledgement here that its machine is to hear of, microseconds since 1970; else 0.';

CREATE OR REPLACE VIEW alarm AS
SELECT start_time, priority, state, path, title, active, activated_at, returned_at, acknowledged_at, acknowledged_by, activations, value, detail,
       chattering, fleeting, late, first_out, cause_alarm_id, cause, consequence, corrective_action, comment, overrides, rule, rule_version,
       site, device_id, gateway_id, tag_id, updated_at, alarm_id, source_id, version, condition, acknowledged_at_machine
FROM alarms WHERE start_time IS NOT NULL;
COMMENT ON COLUMN alarm.condition IS 'Condition of the machine''s own server, by connection and node id; empty for an alarm of no condition.';
COMMENT ON COLUMN alarm.acknowledged_at_machine IS 'Whether the machine said that it is acknowledged there, as far as the alarm stood. The command that carries an acknowledgement is in the view command, by the name acknowledge.';
