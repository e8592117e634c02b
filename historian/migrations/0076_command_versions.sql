-- Versions of a command's record no longer count its transitions: a restored job may make fewer of them, or others.

COMMENT ON COLUMN commands.version IS 'Grows with each transition, not by one: outcomes begin at a million. The highest is where the command stands.';
COMMENT ON COLUMN command.version IS 'Version of the record; grows, and is a million or more once there is an outcome.';
