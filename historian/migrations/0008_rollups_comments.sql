-- The same columns in both variants, so the same comments.

COMMENT ON VIEW aggregates_1h IS 'Hours by tag, from windows of a minute or longer. People read the view aggregate_1h.';
COMMENT ON COLUMN aggregates_1h.start IS 'Start of the hour, inclusive.';
COMMENT ON COLUMN aggregates_1h.tag_id IS 'Tag.';
COMMENT ON COLUMN aggregates_1h.window_s IS 'Length of the windows it is made of, seconds.';
COMMENT ON COLUMN aggregates_1h.count IS 'Accepted samples.';
COMMENT ON COLUMN aggregates_1h.good IS 'Of those, with good quality. The statistics are of good samples.';
COMMENT ON COLUMN aggregates_1h.mean IS 'Mean of the samples, in the unit; null without a good sample.';
COMMENT ON COLUMN aggregates_1h.m2 IS 'Sum of squared deviations from the mean, unit squared.';
COMMENT ON COLUMN aggregates_1h.min IS 'Smallest value, in the unit.';
COMMENT ON COLUMN aggregates_1h.min_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregates_1h.max IS 'Largest value, in the unit.';
COMMENT ON COLUMN aggregates_1h.max_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregates_1h.first IS 'Earliest value, in the unit.';
COMMENT ON COLUMN aggregates_1h.first_time IS 'Its time.';
COMMENT ON COLUMN aggregates_1h.last IS 'Latest value, in the unit.';
COMMENT ON COLUMN aggregates_1h.last_time IS 'Its time.';

COMMENT ON VIEW aggregates_1d IS 'Days (UTC) by tag, from hours. People read the view aggregate_1d.';
COMMENT ON COLUMN aggregates_1d.start IS 'Start of the day, inclusive.';
COMMENT ON COLUMN aggregates_1d.tag_id IS 'Tag.';
COMMENT ON COLUMN aggregates_1d.window_s IS 'Length of the windows it is made of, seconds.';
COMMENT ON COLUMN aggregates_1d.count IS 'Accepted samples.';
COMMENT ON COLUMN aggregates_1d.good IS 'Of those, with good quality. The statistics are of good samples.';
COMMENT ON COLUMN aggregates_1d.mean IS 'Mean of the samples, in the unit; null without a good sample.';
COMMENT ON COLUMN aggregates_1d.m2 IS 'Sum of squared deviations from the mean, unit squared.';
COMMENT ON COLUMN aggregates_1d.min IS 'Smallest value, in the unit.';
COMMENT ON COLUMN aggregates_1d.min_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregates_1d.max IS 'Largest value, in the unit.';
COMMENT ON COLUMN aggregates_1d.max_time IS 'When it was first seen.';
COMMENT ON COLUMN aggregates_1d.first IS 'Earliest value, in the unit.';
COMMENT ON COLUMN aggregates_1d.first_time IS 'Its time.';
COMMENT ON COLUMN aggregates_1d.last IS 'Latest value, in the unit.';
COMMENT ON COLUMN aggregates_1d.last_time IS 'Its time.';
