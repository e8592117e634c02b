-- What became of each parameter of a command, why it was asked for, and who approved it.

ALTER TABLE commands ADD COLUMN outcomes jsonb NOT NULL DEFAULT '[]', ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN approved_by text NOT NULL DEFAULT '';
COMMENT ON COLUMN commands.outcomes IS 'Of each parameter: name, effect (APPLIED, REFUSED, NOT_SENT, UNKNOWN), readback, detail.';
COMMENT ON COLUMN commands.reason IS 'Why it was asked for.';
COMMENT ON COLUMN commands.approved_by IS 'Principal that approved it; empty when nobody did.';

-- New columns of a view come last.
CREATE OR REPLACE VIEW command AS
SELECT DISTINCT ON (c.command_id) c.submitted_at, c.state, d.path AS device_path, c.name, c.parameters, c.submitted_by, c.updated_at, c.expires_at, c.attempt,
       c.detail, c.readback, c.late_acks, c.duplicate_acks, c.site, c.gateway_id, c.device_id, c.command_id, c.version,
       c.outcomes, c.reason, c.approved_by
FROM commands c
LEFT JOIN device d USING (device_id)
ORDER BY c.command_id, c.version DESC;
COMMENT ON COLUMN command.outcomes IS 'Of each parameter: name, effect (APPLIED, REFUSED, NOT_SENT, UNKNOWN), readback, detail.';
COMMENT ON COLUMN command.reason IS 'Why it was asked for.';
COMMENT ON COLUMN command.approved_by IS 'Principal that approved it; empty when nobody did.';
