-- What native partitions and rolled-up hours take on disk. Days are computed as they are read, and take nothing.

CREATE FUNCTION measure_storage() RETURNS SETOF storage_size
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE p.table_name WHEN 'aggregates' THEN 'windows' ELSE p.table_name END, sum(estimated_rows(p.partition_name::regclass))::bigint,
           sum(pg_total_relation_size(p.partition_name::regclass))::bigint, 0::bigint, 0::bigint, now()
    FROM partitions p GROUP BY 1
    UNION ALL
    SELECT 'hours', estimated_rows('rollup_1h'), pg_total_relation_size('rollup_1h'), 0, 0, now();
END;
COMMENT ON FUNCTION measure_storage IS 'Rows and bytes of each resolution as they are now.';
