-- What is strange about the first contributor of an anomaly, and about each of them. New columns of a view come last.

COMMENT ON COLUMN anomalies.contributors IS 'Tags that explain the score, strongest first: tag_id, score, value, expected_low, expected_high, statistic.';

CREATE OR REPLACE VIEW anomaly AS
SELECT a.start_time, a.end_time, d.path AS device_path, a.phase, a.score, a.peak_score, a.threshold, c.paths AS contributors, a.detector,
       a.detector_version, a.contributors AS contributor_details, a.device_id, a.episode_id, a.revision,
       a.contributors -> 0 ->> 'statistic' AS statistic
FROM anomalies a
LEFT JOIN device_paths d ON d.device_id = a.device_id AND a.start_time >= d.valid_from AND a.start_time < d.valid_to
LEFT JOIN LATERAL (
    SELECT array_agg(p.path ORDER BY x.place) AS paths
    FROM jsonb_array_elements(a.contributors) WITH ORDINALITY AS x(item, place)
    JOIN tag_periods p ON p.tag_id = (x.item ->> 'tag_id')::integer AND a.start_time >= p.valid_from AND a.start_time < p.valid_to
) c ON true;
COMMENT ON COLUMN anomaly.contributor_details IS 'Of each contributor: tag_id, score, value, expected_low, expected_high, statistic.';
COMMENT ON COLUMN anomaly.statistic IS
    'What is strange about the first contributor: level, step, shift, drift, restless, calm, spread, relation or pattern; null in older episodes.';
