-- Hours and days without TimescaleDB. Hours are kept in a table that connectors.timescale.rollups fills once an hour is over; an hour that has
-- changed since (it is marked stale) is computed by the view from its windows, so the view is always complete. Days are made of hours.

CREATE TABLE rollup_1h (
    start timestamptz NOT NULL,
    tag_id integer NOT NULL,
    window_s integer NOT NULL,
    count bigint NOT NULL,
    good bigint NOT NULL,
    mean double precision,
    m2 double precision,
    min double precision,
    min_time timestamptz,
    max double precision,
    max_time timestamptz,
    first double precision,
    first_time timestamptz,
    last double precision,
    last_time timestamptz,
    PRIMARY KEY (tag_id, window_s, start)
);
CREATE INDEX rollup_1h_start ON rollup_1h (start);
COMMENT ON TABLE rollup_1h IS 'Hours that were computed; complete unless marked in rollup_stale. People read the view aggregate_1h.';
COMMENT ON COLUMN rollup_1h.start IS 'Start of the hour, inclusive.';
COMMENT ON COLUMN rollup_1h.tag_id IS 'Tag.';
COMMENT ON COLUMN rollup_1h.window_s IS 'Length of the windows it is made of, seconds.';
COMMENT ON COLUMN rollup_1h.count IS 'Accepted samples.';
COMMENT ON COLUMN rollup_1h.good IS 'Of those, with good quality. The statistics are of good samples.';
COMMENT ON COLUMN rollup_1h.mean IS 'Mean of the samples, in the unit; null without a good sample.';
COMMENT ON COLUMN rollup_1h.m2 IS 'Sum of squared deviations from the mean, unit squared.';
COMMENT ON COLUMN rollup_1h.min IS 'Smallest value, in the unit.';
COMMENT ON COLUMN rollup_1h.min_time IS 'When it was first seen.';
COMMENT ON COLUMN rollup_1h.max IS 'Largest value, in the unit.';
COMMENT ON COLUMN rollup_1h.max_time IS 'When it was first seen.';
COMMENT ON COLUMN rollup_1h.first IS 'Earliest value, in the unit.';
COMMENT ON COLUMN rollup_1h.first_time IS 'Its time.';
COMMENT ON COLUMN rollup_1h.last IS 'Latest value, in the unit.';
COMMENT ON COLUMN rollup_1h.last_time IS 'Its time.';

CREATE TABLE rollup_stale (
    mark_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour timestamptz NOT NULL
);
CREATE INDEX rollup_stale_hour ON rollup_stale (hour);
COMMENT ON TABLE rollup_stale IS 'Hours whose windows changed since they were rolled up. Marks are only added and taken away, never updated: no writer waits for another.';
COMMENT ON COLUMN rollup_stale.mark_id IS 'Order of arrival.';
COMMENT ON COLUMN rollup_stale.hour IS 'Start of the hour.';

CREATE FUNCTION mark_stale_hours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollup_stale (hour)
    SELECT DISTINCT date_bin('1 hour', start, timestamptz '2000-01-01 00:00:00+00') FROM changed WHERE window_s >= 60;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION mark_stale_hours IS 'Trigger: marks the hours of changed windows.';
CREATE TRIGGER aggregates_inserted AFTER INSERT ON aggregates REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_hours();
CREATE TRIGGER aggregates_updated AFTER UPDATE ON aggregates REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_hours();

CREATE FUNCTION hour_of_windows(wanted timestamptz) RETURNS SETOF rollup_1h
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT wanted, tag_id, window_s, sum(count)::bigint AS count, sum(good)::bigint AS good,
       CASE WHEN sum(good) > 0 THEN (merged_stats(good, mean, m2))[2] END AS mean,
       CASE WHEN sum(good) > 0 THEN (merged_stats(good, mean, m2))[3] END AS m2,
       min(min) AS min, (array_agg(min_time ORDER BY min, min_time) FILTER (WHERE good > 0))[1] AS min_time,
       max(max) AS max, (array_agg(max_time ORDER BY max DESC, max_time) FILTER (WHERE good > 0))[1] AS max_time,
       (array_agg(first ORDER BY first_time) FILTER (WHERE good > 0))[1] AS first, min(first_time) AS first_time,
       (array_agg(last ORDER BY last_time DESC) FILTER (WHERE good > 0))[1] AS last, max(last_time) AS last_time
    FROM aggregates a
    WHERE a.start >= wanted AND a.start < wanted + interval '1 hour' AND a.window_s >= 60
    GROUP BY 2, 3
$$;
COMMENT ON FUNCTION hour_of_windows IS 'One hour of every tag, computed from its windows.';

CREATE VIEW aggregates_1h AS
SELECT start, tag_id, window_s, count, good, mean, m2, min, min_time, max, max_time, first, first_time, last, last_time
FROM rollup_1h r
WHERE NOT EXISTS (SELECT FROM rollup_stale s WHERE s.hour = r.start)
UNION ALL
SELECT w.start, w.tag_id, w.window_s, w.count, w.good, w.mean, w.m2, w.min, w.min_time, w.max, w.max_time, w.first, w.first_time, w.last, w.last_time
FROM (SELECT DISTINCT hour FROM rollup_stale) s
CROSS JOIN LATERAL hour_of_windows(s.hour) w;

CREATE VIEW aggregates_1d AS
SELECT date_bin('1 day', start, timestamptz '2000-01-01 00:00:00+00') AS start, tag_id, window_s, sum(count)::bigint AS count, sum(good)::bigint AS good,
       CASE WHEN sum(good) > 0 THEN (merged_stats(good, mean, m2))[2] END AS mean,
       CASE WHEN sum(good) > 0 THEN (merged_stats(good, mean, m2))[3] END AS m2,
       min(min) AS min, (array_agg(min_time ORDER BY min, min_time) FILTER (WHERE good > 0))[1] AS min_time,
       max(max) AS max, (array_agg(max_time ORDER BY max DESC, max_time) FILTER (WHERE good > 0))[1] AS max_time,
       (array_agg(first ORDER BY first_time) FILTER (WHERE good > 0))[1] AS first, min(first_time) AS first_time,
       (array_agg(last ORDER BY last_time DESC) FILTER (WHERE good > 0))[1] AS last, max(last_time) AS last_time
FROM aggregates_1h
GROUP BY 1, 2, 3;
