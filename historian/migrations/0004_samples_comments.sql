-- The same columns in both variants, so the same comments.

COMMENT ON TABLE samples IS 'Accepted samples, as they came. People read the view telemetry.';
COMMENT ON COLUMN samples.time IS 'Source time.';
COMMENT ON COLUMN samples.value IS 'Value in the tag''s unit; booleans are 0 and 1.';
COMMENT ON COLUMN samples.tag_id IS 'Tag.';
COMMENT ON COLUMN samples.quality IS 'High 16 bits of the OPC UA StatusCode as two''s complement; see quality_name.';
COMMENT ON COLUMN samples.verdict IS 'Verdict of validation; see the table verdicts.';

COMMENT ON TABLE aggregates IS 'Windows computed in the stream, or recomputed from samples by the repair. People read the view aggregate.';
COMMENT ON COLUMN aggregates.start IS 'Start of the window, inclusive.';
COMMENT ON COLUMN aggregates.tag_id IS 'Tag.';
COMMENT ON COLUMN aggregates.window_s IS 'Length of the window, seconds.';
COMMENT ON COLUMN aggregates.count IS 'Accepted samples in the window.';
COMMENT ON COLUMN aggregates.good IS 'Of those, with good quality. The statistics are of good samples.';
COMMENT ON COLUMN aggregates.mean IS 'Mean of the samples, in the unit; null without a good sample.';
COMMENT ON COLUMN aggregates.m2 IS 'Sum of squared deviations from the mean, unit squared.';
COMMENT ON COLUMN aggregates.min IS 'Smallest value, in the unit.';
COMMENT ON COLUMN aggregates.min_time IS 'When the smallest value was first seen.';
COMMENT ON COLUMN aggregates.max IS 'Largest value, in the unit.';
COMMENT ON COLUMN aggregates.max_time IS 'When the largest value was first seen.';
COMMENT ON COLUMN aggregates.first IS 'Earliest value, in the unit.';
COMMENT ON COLUMN aggregates.first_time IS 'Its time.';
COMMENT ON COLUMN aggregates.last IS 'Latest value, in the unit.';
COMMENT ON COLUMN aggregates.last_time IS 'Its time.';
COMMENT ON COLUMN aggregates.repaired IS 'Recomputed from samples; false when it came from the stream.';
COMMENT ON COLUMN aggregates.contested IS 'Came from the stream and replaced a repaired window with fewer samples: it is repaired again.';
