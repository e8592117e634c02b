-- Definitions are dated: what a tag was, from when until when, in which version, by whom and why. Nothing is overwritten.

CREATE TABLE registry_changes (
    version bigint PRIMARY KEY,
    changed_at timestamptz NOT NULL,
    who text NOT NULL,
    why text NOT NULL,
    what text NOT NULL
);
COMMENT ON TABLE registry_changes IS 'Who made each version of the registry, and why.';
COMMENT ON COLUMN registry_changes.version IS 'Version of the registry.';
COMMENT ON COLUMN registry_changes.changed_at IS 'When it was made.';
COMMENT ON COLUMN registry_changes.who IS 'Who made it.';
COMMENT ON COLUMN registry_changes.why IS 'Why, in the words of who made it; empty when nothing was said.';
COMMENT ON COLUMN registry_changes.what IS 'Command that made it.';

CREATE TABLE tag_history (
    tag_id integer NOT NULL REFERENCES tags,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL DEFAULT 'infinity',
    registry_version bigint NOT NULL,
    definition jsonb NOT NULL,
    PRIMARY KEY (tag_id, valid_from),
    CHECK (valid_from < valid_to)
);
CREATE UNIQUE INDEX tag_history_current ON tag_history (tag_id) WHERE valid_to = 'infinity';
COMMENT ON TABLE tag_history IS 'Every definition that a tag ever had.';
COMMENT ON COLUMN tag_history.tag_id IS 'Tag.';
COMMENT ON COLUMN tag_history.valid_from IS 'Start, inclusive; -infinity when it is older than this table.';
COMMENT ON COLUMN tag_history.valid_to IS 'End, exclusive; infinity for the present definition.';
COMMENT ON COLUMN tag_history.registry_version IS 'Version of the registry that made it.';
COMMENT ON COLUMN tag_history.definition IS 'The row of tag_definition.';
INSERT INTO tag_history (tag_id, valid_from, registry_version, definition)
SELECT tag_id, '-infinity', registry_version, to_jsonb(d) FROM tag_definition d;

CREATE VIEW tag_definitions_history AS
SELECT h.tag_id, h.definition ->> 'path' AS path, nullif(h.valid_from, '-infinity') AS valid_from, nullif(h.valid_to, 'infinity') AS valid_to,
       tstzrange(nullif(h.valid_from, '-infinity'), nullif(h.valid_to, 'infinity')) AS valid_during, h.registry_version, c.who, c.why, c.what,
       h.definition ->> 'unit' AS unit, h.definition ->> 'description' AS description,
       (h.definition ->> 'eu_low')::double precision AS eu_low, (h.definition ->> 'eu_high')::double precision AS eu_high,
       (h.definition ->> 'limit_low')::double precision AS limit_low, (h.definition ->> 'limit_high')::double precision AS limit_high,
       (h.definition ->> 'max_rate')::double precision AS max_rate, (h.definition ->> 'stuck_after_s')::double precision AS stuck_after_s,
       (h.definition ->> 'period_ms')::integer AS period_ms, (h.definition ->> 'deadband')::double precision AS deadband,
       h.definition ->> 'historise' AS historise, h.definition ->> 'address' AS address, h.definition ->> 'gateway_id' AS gateway_id,
       (h.definition ->> 'writable')::boolean AS writable, (h.definition ->> 'retired')::boolean AS retired, h.definition
FROM tag_history h
LEFT JOIN registry_changes c ON c.version = h.registry_version;
COMMENT ON VIEW tag_definitions_history IS 'What each tag was defined as, from when until when, by whom and why.';
COMMENT ON COLUMN tag_definitions_history.tag_id IS 'Stable number of the tag.';
COMMENT ON COLUMN tag_definitions_history.path IS 'Path it had: enterprise/site/area/line/cell/device/tag.';
COMMENT ON COLUMN tag_definitions_history.valid_from IS 'Start, inclusive; null when it is older than this history.';
COMMENT ON COLUMN tag_definitions_history.valid_to IS 'End, exclusive; null for the present definition.';
COMMENT ON COLUMN tag_definitions_history.valid_during IS 'Both as a range: valid_during @> time.';
COMMENT ON COLUMN tag_definitions_history.registry_version IS 'Version of the registry that made it.';
COMMENT ON COLUMN tag_definitions_history.who IS 'Who made it; null when it is older than this history.';
COMMENT ON COLUMN tag_definitions_history.why IS 'Why, in the words of who made it.';
COMMENT ON COLUMN tag_definitions_history.what IS 'Command that made it.';
COMMENT ON COLUMN tag_definitions_history.unit IS 'UCUM code; 1 for none.';
COMMENT ON COLUMN tag_definitions_history.description IS 'For people.';
COMMENT ON COLUMN tag_definitions_history.eu_low IS 'OPC UA EURange low.';
COMMENT ON COLUMN tag_definitions_history.eu_high IS 'OPC UA EURange high.';
COMMENT ON COLUMN tag_definitions_history.limit_low IS 'Below this a sample was refused.';
COMMENT ON COLUMN tag_definitions_history.limit_high IS 'Above this a sample was refused.';
COMMENT ON COLUMN tag_definitions_history.max_rate IS 'Largest believable change per second, in the unit.';
COMMENT ON COLUMN tag_definitions_history.stuck_after_s IS 'Longest believable time without any change, seconds.';
COMMENT ON COLUMN tag_definitions_history.period_ms IS 'Nominal sampling period, milliseconds.';
COMMENT ON COLUMN tag_definitions_history.deadband IS 'Absolute deadband at the gateway, in the unit.';
COMMENT ON COLUMN tag_definitions_history.historise IS 'ALL, ON_CHANGE or NONE.';
COMMENT ON COLUMN tag_definitions_history.address IS 'Where the gateway found it.';
COMMENT ON COLUMN tag_definitions_history.gateway_id IS 'The one gateway that could send it.';
COMMENT ON COLUMN tag_definitions_history.writable IS 'Whether commands could write it.';
COMMENT ON COLUMN tag_definitions_history.retired IS 'Kept for its history only.';
COMMENT ON COLUMN tag_definitions_history.definition IS 'The whole definition, as tag_definition had it.';

-- Connections as the plant file has them: gateways have their own configuration; this is for people and for `plant export`.
CREATE TABLE connections (
    gateway_id text NOT NULL REFERENCES gateways,
    name text NOT NULL,
    protocol text NOT NULL,
    settings jsonb NOT NULL,
    simulated boolean NOT NULL,
    PRIMARY KEY (gateway_id, name)
);
COMMENT ON TABLE connections IS 'Connections of the gateways, as the plant file last loaded has them.';
COMMENT ON COLUMN connections.gateway_id IS 'Gateway.';
COMMENT ON COLUMN connections.name IS 'Name within the gateway; addresses begin with it.';
COMMENT ON COLUMN connections.protocol IS 'Protocol.';
COMMENT ON COLUMN connections.settings IS 'Settings that the file gives, endpoint among them; secrets are references.';
COMMENT ON COLUMN connections.simulated IS 'Whether the simulator of a local stack plays the machines behind it.';

GRANT SELECT ON registry_changes, tag_history, tag_definitions_history TO millrace_reader;
