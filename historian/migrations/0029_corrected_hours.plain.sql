-- An hour whose windows went with their samples is rolled up again.

CREATE FUNCTION mark_hours_stale(hours timestamptz[]) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO rollup_stale (hour) SELECT unnest(hours);
END;
COMMENT ON FUNCTION mark_hours_stale IS 'Marks hours for rolling up: triggers see windows that are written, not those that go.';
