-- Hours and days with TimescaleDB: continuous aggregates, days on top of hours, with what is not materialised yet computed on the fly.

CREATE MATERIALIZED VIEW aggregates_1h WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(interval '1 hour', start) AS start, tag_id, window_s, sum(count)::bigint AS count, sum(good)::bigint AS good,
       CASE WHEN sum(good) > 0 THEN (merged_stats(good, mean, m2))[2] END AS mean,
       CASE WHEN sum(good) > 0 THEN (merged_stats(good, mean, m2))[3] END AS m2,
       min(min) AS min, (array_agg(min_time ORDER BY min, min_time) FILTER (WHERE good > 0))[1] AS min_time,
       max(max) AS max, (array_agg(max_time ORDER BY max DESC, max_time) FILTER (WHERE good > 0))[1] AS max_time,
       (array_agg(first ORDER BY first_time) FILTER (WHERE good > 0))[1] AS first, min(first_time) AS first_time,
       (array_agg(last ORDER BY last_time DESC) FILTER (WHERE good > 0))[1] AS last, max(last_time) AS last_time
FROM aggregates
WHERE window_s >= 60
GROUP BY 1, 2, 3
WITH NO DATA;

CREATE MATERIALIZED VIEW aggregates_1d WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(interval '1 day', start) AS start, tag_id, window_s, sum(count)::bigint AS count, sum(good)::bigint AS good,
       CASE WHEN sum(good) > 0 THEN (merged_stats(good, mean, m2))[2] END AS mean,
       CASE WHEN sum(good) > 0 THEN (merged_stats(good, mean, m2))[3] END AS m2,
       min(min) AS min, (array_agg(min_time ORDER BY min, min_time) FILTER (WHERE good > 0))[1] AS min_time,
       max(max) AS max, (array_agg(max_time ORDER BY max DESC, max_time) FILTER (WHERE good > 0))[1] AS max_time,
       (array_agg(first ORDER BY first_time) FILTER (WHERE good > 0))[1] AS first, min(first_time) AS first_time,
       (array_agg(last ORDER BY last_time DESC) FILTER (WHERE good > 0))[1] AS last, max(last_time) AS last_time
FROM aggregates_1h
GROUP BY 1, 2, 3
WITH NO DATA;

SELECT add_continuous_aggregate_policy('aggregates_1h', start_offset => interval '7 days', end_offset => interval '1 hour', schedule_interval => interval '10 minutes');
SELECT add_continuous_aggregate_policy('aggregates_1d', start_offset => interval '30 days', end_offset => interval '1 day', schedule_interval => interval '1 hour');
