-- TimescaleDB notes by itself which hours have changed, and has to be allowed to decompress what a correction touches.

CREATE FUNCTION mark_hours_stale(hours timestamptz[]) RETURNS void
LANGUAGE sql IMMUTABLE
RETURN NULL::void;
COMMENT ON FUNCTION mark_hours_stale IS 'Nothing to do: the continuous aggregates know.';

ALTER FUNCTION correct_samples SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
ALTER FUNCTION restore_samples SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
ALTER FUNCTION supersede_replayed SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
