-- A job that starts again says windows again. Those of the state that it took up again need no repair.

ALTER TABLE aggregates ADD COLUMN lineage integer;
COMMENT ON COLUMN aggregates.lineage IS 'Which state of the stream folded it; null if unknown or repaired.';
COMMENT ON COLUMN aggregates.contested IS 'Came from the stream and replaced what a repair or another state of the stream had folded: it is repaired again.';
