-- Who changed what is an alarm, and why. The rules themselves are on the topic alarm.rules; each version has its event in the audit log.

CREATE TABLE alarm_rule_changes (
    rule_id text NOT NULL,
    version integer NOT NULL,
    changed_at timestamptz NOT NULL,
    who text NOT NULL,
    why text NOT NULL,
    what text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    PRIMARY KEY (rule_id, version)
);
COMMENT ON TABLE alarm_rule_changes IS 'Who made each version of a rule of alarms, and why.';
COMMENT ON COLUMN alarm_rule_changes.rule_id IS 'Rule: its name and what it holds for.';
COMMENT ON COLUMN alarm_rule_changes.version IS 'Version of the rule.';
COMMENT ON COLUMN alarm_rule_changes.changed_at IS 'When it was made.';
COMMENT ON COLUMN alarm_rule_changes.who IS 'Who made it.';
COMMENT ON COLUMN alarm_rule_changes.why IS 'Why, in the words of who made it; empty when nothing was said.';
COMMENT ON COLUMN alarm_rule_changes.what IS 'publish, change or retire.';
COMMENT ON COLUMN alarm_rule_changes.before IS 'Fields that were different, as JSON; empty for a new rule.';
COMMENT ON COLUMN alarm_rule_changes.after IS 'What they are now, as JSON.';

CREATE FUNCTION audit_alarm_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_outbox (action, who, why, name, before, after)
    VALUES ('alarms:rule', NEW.who, NEW.why, NEW.what || ' ' || NEW.rule_id || ': version ' || NEW.version, left(NEW.before, 2000), left(NEW.after, 2000));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_alarm_rule IS 'Trigger: a version of a rule of alarms is an event.';
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON alarm_rule_changes FOR EACH ROW EXECUTE FUNCTION audit_alarm_rule();

GRANT SELECT ON alarm_rule_changes TO millrace_reader;
