-- Versions of a command's record no longer count its transitions: a restored job may make fewer of them, or others.

COMMENT ON COLUMN commands.version IS 'Grows with each transition, not by one: outcomes begin at a million (not those recorded before 0.3, nor those without a request). The highest is where the command stands.';
COMMENT ON COLUMN command.version IS 'Version of the record; grows, not by one.';
