-- Forecasts of when a tag reaches a limit are anomaly episodes of the detector `forecast`. New columns of a view come last.

COMMENT ON COLUMN anomalies.contributors IS 'Tags that explain the score, strongest first: tag_id, score, value, expected_low, expected_high, statistic; of a forecast limit, limit_us, earliest_us, latest_us, as_of_us.';

CREATE OR REPLACE VIEW anomaly AS
SELECT a.start_time, a.end_time, d.path AS device_path, a.phase, a.score, a.peak_score, a.threshold, c.paths AS contributors, a.detector,
       a.detector_version, a.contributors AS contributor_details, a.device_id, a.episode_id, a.revision,
       a.contributors -> 0 ->> 'statistic' AS statistic, l.verdict AS label, l.labelled_by, l.reason AS label_reason,
       (a.contributors -> 0 ->> 'limit')::double precision AS forecast_limit,
       to_time((a.contributors -> 0 ->> 'limit_us')::bigint) AS forecast_time,
       to_time((a.contributors -> 0 ->> 'earliest_us')::bigint) AS forecast_earliest,
       to_time((a.contributors -> 0 ->> 'latest_us')::bigint) AS forecast_latest
FROM anomalies a
LEFT JOIN device_paths d ON d.device_id = a.device_id AND a.start_time >= d.valid_from AND a.start_time < d.valid_to
LEFT JOIN LATERAL (
    SELECT array_agg(p.path ORDER BY x.place) AS paths
    FROM jsonb_array_elements(a.contributors) WITH ORDINALITY AS x(item, place)
    JOIN tag_periods p ON p.tag_id = (x.item ->> 'tag_id')::integer AND a.start_time >= p.valid_from AND a.start_time < p.valid_to
) c ON true
LEFT JOIN LATERAL (
    SELECT s.verdict, s.labelled_by, s.reason FROM anomaly_labels s
    WHERE s.episode_id = a.episode_id AND s.withdrawn_at IS NULL ORDER BY s.labelled_at DESC, s.label_id DESC LIMIT 1
) l ON true;
COMMENT ON COLUMN anomaly.statistic IS
    'What is strange about the first contributor: level, step, shift, drift, restless, calm, spread, relation or pattern; forecast where a limit will be reached; null in older episodes.';
COMMENT ON COLUMN anomaly.forecast_limit IS 'Of a forecast: the limit that the first contributor will reach, in its unit.';
COMMENT ON COLUMN anomaly.forecast_time IS 'Of a forecast: when the limit is likely to be reached.';
COMMENT ON COLUMN anomaly.forecast_earliest IS 'Of a forecast: beginning of the interval that has that moment in four of five cases.';
COMMENT ON COLUMN anomaly.forecast_latest IS 'Of a forecast: end of that interval; null when there is no telling.';
