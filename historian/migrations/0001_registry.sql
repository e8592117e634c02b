-- The registry: where machines stand (ISA-95), what they measure, and who may send it.

CREATE TABLE registry_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL DEFAULT 0,
    published_version bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO registry_state DEFAULT VALUES;
COMMENT ON TABLE registry_state IS 'Version of the registry: one row.';
COMMENT ON COLUMN registry_state.only_row IS 'Always true: keeps the table at one row.';
COMMENT ON COLUMN registry_state.version IS 'Grows by one with every change; a tag carries the version of its last change.';
COMMENT ON COLUMN registry_state.published_version IS 'Version up to which definitions were written to the topic registry.tags.';
COMMENT ON COLUMN registry_state.changed_at IS 'Time of the last change.';

CREATE SEQUENCE registry_id AS integer;
COMMENT ON SEQUENCE registry_id IS 'The one allocator of device and tag ids; a number is never used twice.';

CREATE TABLE sites (
    site text PRIMARY KEY,
    enterprise text NOT NULL
);
COMMENT ON TABLE sites IS 'ISA-95 sites.';
COMMENT ON COLUMN sites.site IS 'Name, as in topic names.';
COMMENT ON COLUMN sites.enterprise IS 'Enterprise the site belongs to.';

CREATE TABLE gateways (
    gateway_id text PRIMARY KEY,
    site text NOT NULL REFERENCES sites,
    lanes integer NOT NULL CHECK (lanes > 0)
);
COMMENT ON TABLE gateways IS 'Edge gateways.';
COMMENT ON COLUMN gateways.gateway_id IS 'Name, as in frames.';
COMMENT ON COLUMN gateways.site IS 'Site the gateway stands at.';
COMMENT ON COLUMN gateways.lanes IS 'Number of lanes; devices are spread over them when they are first seen.';

CREATE TABLE areas (
    area_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site text NOT NULL REFERENCES sites,
    name text NOT NULL,
    UNIQUE (site, name)
);
COMMENT ON TABLE areas IS 'ISA-95 areas of a site.';
COMMENT ON COLUMN areas.area_id IS 'Area.';
COMMENT ON COLUMN areas.site IS 'Site it is part of.';
COMMENT ON COLUMN areas.name IS 'Name within the site.';

CREATE TABLE lines (
    line_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    area_id integer NOT NULL REFERENCES areas,
    name text NOT NULL,
    UNIQUE (area_id, name)
);
COMMENT ON TABLE lines IS 'ISA-95 production lines (work centers) of an area.';
COMMENT ON COLUMN lines.line_id IS 'Line.';
COMMENT ON COLUMN lines.area_id IS 'Area it is part of.';
COMMENT ON COLUMN lines.name IS 'Name within the area.';

CREATE TABLE cells (
    cell_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_id integer NOT NULL REFERENCES lines,
    name text NOT NULL,
    path text NOT NULL UNIQUE,
    UNIQUE (line_id, name)
);
COMMENT ON TABLE cells IS 'ISA-95 work cells of a line.';
COMMENT ON COLUMN cells.cell_id IS 'Cell.';
COMMENT ON COLUMN cells.line_id IS 'Line it is part of.';
COMMENT ON COLUMN cells.name IS 'Name within the line.';
COMMENT ON COLUMN cells.path IS 'enterprise/site/area/line/cell.';

CREATE TABLE devices (
    device_id integer PRIMARY KEY DEFAULT nextval('registry_id'),
    site text NOT NULL REFERENCES sites,
    name text NOT NULL,
    device_class text NOT NULL,
    detector text NOT NULL,
    planned_run_time_s double precision CHECK (planned_run_time_s > 0),
    gateway_id text NOT NULL REFERENCES gateways,
    lane integer NOT NULL CHECK (lane >= 0),
    protocol text NOT NULL CHECK (protocol IN ('opcua', 'sparkplug')),
    retired boolean NOT NULL DEFAULT false,
    source_digest text NOT NULL DEFAULT '',
    UNIQUE (site, name)
);
COMMENT ON TABLE devices IS 'Machines and meters. Exactly one gateway owns a device.';
COMMENT ON COLUMN devices.device_id IS 'Stable number: it stays when the machine moves.';
COMMENT ON COLUMN devices.site IS 'Site it was registered at; with the name, what recognises it in the next plant file.';
COMMENT ON COLUMN devices.name IS 'Name, unique within the site.';
COMMENT ON COLUMN devices.device_class IS 'Class, which gives the tags, detectors and commands.';
COMMENT ON COLUMN devices.detector IS 'Detector class; empty for none.';
COMMENT ON COLUMN devices.planned_run_time_s IS 'Planned run time per item (PRI of ISO 22400-2), seconds; null when the device makes no items.';
COMMENT ON COLUMN devices.gateway_id IS 'The one gateway that may send for it.';
COMMENT ON COLUMN devices.lane IS 'Lane of that gateway.';
COMMENT ON COLUMN devices.protocol IS 'opcua or sparkplug.';
COMMENT ON COLUMN devices.retired IS 'No longer in the plant; kept for its history.';
COMMENT ON COLUMN devices.source_digest IS 'Digest of its entry in the plant file last loaded: an unchanged entry does not undo a manual change.';

CREATE TABLE device_paths (
    device_id integer NOT NULL REFERENCES devices,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL DEFAULT 'infinity',
    cell_id integer NOT NULL REFERENCES cells,
    path text NOT NULL,
    PRIMARY KEY (device_id, valid_from),
    CHECK (valid_from < valid_to)
);
CREATE UNIQUE INDEX device_paths_current ON device_paths (device_id) WHERE valid_to = 'infinity';
CREATE INDEX device_paths_path ON device_paths (path);
COMMENT ON TABLE device_paths IS 'Where each device stood, and when. A machine moves; its ids stay.';
COMMENT ON COLUMN device_paths.device_id IS 'Device.';
COMMENT ON COLUMN device_paths.valid_from IS 'Start, inclusive; -infinity for the first place.';
COMMENT ON COLUMN device_paths.valid_to IS 'End, exclusive; infinity for the present place.';
COMMENT ON COLUMN device_paths.cell_id IS 'Cell it stood in.';
COMMENT ON COLUMN device_paths.path IS 'enterprise/site/area/line/cell/device.';

CREATE TABLE tags (
    tag_id integer PRIMARY KEY DEFAULT nextval('registry_id'),
    device_id integer NOT NULL REFERENCES devices,
    name text NOT NULL,
    tag_class text NOT NULL,
    description text NOT NULL,
    data_type text NOT NULL CHECK (data_type IN ('DOUBLE', 'INTEGER', 'BOOLEAN')),
    unit text NOT NULL,
    eu_low double precision,
    eu_high double precision,
    limit_low double precision,
    limit_high double precision,
    max_rate double precision,
    stuck_after_s double precision,
    period_ms integer NOT NULL CHECK (period_ms > 0),
    deadband double precision NOT NULL DEFAULT 0 CHECK (deadband >= 0),
    windows_s integer[] NOT NULL,
    historise text NOT NULL CHECK (historise IN ('ALL', 'ON_CHANGE', 'NONE')),
    address text NOT NULL,
    writable boolean NOT NULL DEFAULT false,
    retired boolean NOT NULL DEFAULT false,
    registry_version bigint NOT NULL,
    source_digest text NOT NULL DEFAULT '',
    UNIQUE (device_id, name)
);
CREATE UNIQUE INDEX tags_address ON tags (address) WHERE NOT retired;
CREATE INDEX tags_version ON tags (registry_version);
COMMENT ON TABLE tags IS 'What is measured or set at a device.';
COMMENT ON COLUMN tags.tag_id IS 'Stable number, as in frames and samples.';
COMMENT ON COLUMN tags.device_id IS 'Device.';
COMMENT ON COLUMN tags.name IS 'Name within the device; last part of the path.';
COMMENT ON COLUMN tags.tag_class IS 'Class, which gives the windows.';
COMMENT ON COLUMN tags.description IS 'For people.';
COMMENT ON COLUMN tags.data_type IS 'Type at the machine; every value is stored as double precision.';
COMMENT ON COLUMN tags.unit IS 'UCUM code; 1 for none.';
COMMENT ON COLUMN tags.eu_low IS 'OPC UA EURange low: what is normal.';
COMMENT ON COLUMN tags.eu_high IS 'OPC UA EURange high.';
COMMENT ON COLUMN tags.limit_low IS 'Below this a sample is refused.';
COMMENT ON COLUMN tags.limit_high IS 'Above this a sample is refused.';
COMMENT ON COLUMN tags.max_rate IS 'Largest believable change per second, in the unit; null for no check.';
COMMENT ON COLUMN tags.stuck_after_s IS 'Longest believable time without any change, seconds; null for no check.';
COMMENT ON COLUMN tags.period_ms IS 'Nominal sampling period, milliseconds.';
COMMENT ON COLUMN tags.deadband IS 'Absolute deadband applied at the gateway, in the unit; 0 for none.';
COMMENT ON COLUMN tags.windows_s IS 'Window lengths that are computed in the stream, seconds.';
COMMENT ON COLUMN tags.historise IS 'What is stored of it: ALL, ON_CHANGE or NONE.';
COMMENT ON COLUMN tags.address IS 'Where the gateway finds it.';
COMMENT ON COLUMN tags.writable IS 'Whether commands may write it.';
COMMENT ON COLUMN tags.retired IS 'No longer in the plant; kept for its history.';
COMMENT ON COLUMN tags.registry_version IS 'Registry version in which the definition last changed.';
COMMENT ON COLUMN tags.source_digest IS 'Digest of its entry in the plant file last loaded.';

CREATE VIEW tag_definition AS
SELECT t.tag_id, t.device_id, t.registry_version, p.path || '/' || t.name AS path, t.name, split_part(p.path, '/', 2) AS site, d.device_class,
       t.tag_class, t.description, t.data_type, t.unit, t.eu_low, t.eu_high, t.limit_low, t.limit_high, t.max_rate, t.stuck_after_s,
       t.period_ms, t.deadband, t.windows_s, d.detector, t.historise, d.gateway_id, d.lane, t.address, t.writable, t.retired
FROM tags t
JOIN devices d USING (device_id)
JOIN device_paths p ON p.device_id = t.device_id AND p.valid_to = 'infinity';
COMMENT ON VIEW tag_definition IS 'Tags as they are defined now, as published on registry.tags.';
COMMENT ON COLUMN tag_definition.tag_id IS 'Stable number of the tag.';
COMMENT ON COLUMN tag_definition.device_id IS 'Stable number of its device.';
COMMENT ON COLUMN tag_definition.registry_version IS 'Registry version in which the definition last changed.';
COMMENT ON COLUMN tag_definition.path IS 'Present path: enterprise/site/area/line/cell/device/tag.';
COMMENT ON COLUMN tag_definition.name IS 'Last part of the path.';
COMMENT ON COLUMN tag_definition.site IS 'Present site.';
COMMENT ON COLUMN tag_definition.device_class IS 'Class of the device.';
COMMENT ON COLUMN tag_definition.tag_class IS 'Class of the tag.';
COMMENT ON COLUMN tag_definition.description IS 'For people.';
COMMENT ON COLUMN tag_definition.data_type IS 'DOUBLE, INTEGER or BOOLEAN.';
COMMENT ON COLUMN tag_definition.unit IS 'UCUM code; 1 for none.';
COMMENT ON COLUMN tag_definition.eu_low IS 'OPC UA EURange low.';
COMMENT ON COLUMN tag_definition.eu_high IS 'OPC UA EURange high.';
COMMENT ON COLUMN tag_definition.limit_low IS 'Below this a sample is refused.';
COMMENT ON COLUMN tag_definition.limit_high IS 'Above this a sample is refused.';
COMMENT ON COLUMN tag_definition.max_rate IS 'Largest believable change per second, in the unit.';
COMMENT ON COLUMN tag_definition.stuck_after_s IS 'Longest believable time without any change, seconds.';
COMMENT ON COLUMN tag_definition.period_ms IS 'Nominal sampling period, milliseconds.';
COMMENT ON COLUMN tag_definition.deadband IS 'Absolute deadband at the gateway, in the unit.';
COMMENT ON COLUMN tag_definition.windows_s IS 'Window lengths, seconds.';
COMMENT ON COLUMN tag_definition.detector IS 'Detector class of the device.';
COMMENT ON COLUMN tag_definition.historise IS 'ALL, ON_CHANGE or NONE.';
COMMENT ON COLUMN tag_definition.gateway_id IS 'The one gateway that may send it.';
COMMENT ON COLUMN tag_definition.lane IS 'Lane of that gateway.';
COMMENT ON COLUMN tag_definition.address IS 'Where the gateway finds it.';
COMMENT ON COLUMN tag_definition.writable IS 'Whether commands may write it.';
COMMENT ON COLUMN tag_definition.retired IS 'Kept for its history.';
