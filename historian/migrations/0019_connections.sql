-- A device is on a named connection of its gateway; which protocols there are is for the connectors to say.

ALTER TABLE devices DROP CONSTRAINT devices_protocol_check;
ALTER TABLE devices ADD COLUMN connection text NOT NULL DEFAULT '';
UPDATE devices SET connection = CASE protocol WHEN 'opcua' THEN 'opcua' ELSE 'spb' END;
ALTER TABLE devices ALTER COLUMN connection DROP DEFAULT;
COMMENT ON COLUMN devices.connection IS 'Connection of that gateway.';
COMMENT ON COLUMN devices.protocol IS 'Protocol of the connection.';

-- Two gateways may have the same names for different servers: `registry.load` holds that an address is unique within a gateway.
DROP INDEX tags_address;
CREATE INDEX tags_address ON tags (address) WHERE NOT retired;
COMMENT ON COLUMN tags.address IS 'Where the gateway finds it: <connection>:<address within the protocol>.';

CREATE OR REPLACE VIEW device AS
SELECT d.device_id, p.path, d.name, d.device_class, d.gateway_id, d.lane, d.protocol, nullif(p.valid_from, '-infinity') AS stands_there_since, d.retired,
       d.connection
FROM devices d
JOIN device_paths p ON p.device_id = d.device_id AND p.valid_to = 'infinity';
COMMENT ON COLUMN device.protocol IS 'Protocol of the connection.';
COMMENT ON COLUMN device.connection IS 'Connection of that gateway.';
