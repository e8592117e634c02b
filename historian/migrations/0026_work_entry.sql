-- Entering what happens, with who and why, and views for people. A function refuses by an error that names the cause and the fix.

CREATE FUNCTION enter_downtime(device integer, start_time timestamptz, end_time timestamptz, reason text, who text, why text DEFAULT '', entry uuid DEFAULT NULL)
RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT sign_work(who, why);
    INSERT INTO downtime_entries (entry, device_id, start_time, end_time, reason)
    VALUES (coalesce($7, gen_random_uuid()), $1, $2, $3, $4) RETURNING entry
$$;
COMMENT ON FUNCTION enter_downtime IS
    'Says why a machine stood. What is entered last wins for each moment: two entries split a stop, one over both merges them, a newer one corrects; without a reason it takes back what was said. Without an end it holds until the machine executes.';

CREATE FUNCTION start_job(job_order text, device integer, start_time timestamptz, who text, why text DEFAULT '', end_time timestamptz DEFAULT NULL, job_response uuid DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    wanted job_orders;
    other job_responses;
    made uuid := coalesce($7, gen_random_uuid());
BEGIN
    PERFORM sign_work(who, why);
    SELECT * INTO wanted FROM job_orders o WHERE o.job_order = $1 FOR UPDATE;
    IF wanted.job_order IS NULL THEN
        RAISE EXCEPTION 'there is no job order %', $1 USING ERRCODE = 'no_data_found', HINT = 'Enter the order first.';
    ELSIF wanted.status = 'CANCELLED' THEN
        RAISE EXCEPTION 'job order % is cancelled', $1 USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Release the order first.';
    END IF;
    BEGIN
        INSERT INTO job_responses (job_response, job_order, device_id, start_time, end_time) VALUES (made, $1, $2, $3, $6);
    EXCEPTION WHEN exclusion_violation THEN
        SELECT * INTO other FROM job_responses r
        WHERE r.device_id = $2 AND tstzrange(r.start_time, r.end_time) && tstzrange($3, $6) ORDER BY r.start_time LIMIT 1;
        RAISE EXCEPTION 'the machine works on job order % from % to %', other.job_order, other.start_time, coalesce(other.end_time::text, 'now')
            USING ERRCODE = 'exclusion_violation', HINT = 'Complete that job first, or give a range that is free.';
    END;
    UPDATE job_orders o SET status = 'RUNNING' WHERE o.job_order = $1 AND (o.status IN ('PLANNED', 'RELEASED') OR (o.status = 'COMPLETED' AND $6 IS NULL));
    RETURN made;
END $$;
COMMENT ON FUNCTION start_job IS
    'A machine begins to work on an order, which is RUNNING from then on; with an end it is a late entry. A machine works on one order at a time.';

CREATE FUNCTION complete_job(job_response uuid, end_time timestamptz, who text, why text DEFAULT '', order_completed boolean DEFAULT true)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    job job_responses;
BEGIN
    PERFORM sign_work(who, why);
    SELECT * INTO job FROM job_responses r WHERE r.job_response = $1 FOR UPDATE;
    IF job.job_response IS NULL THEN
        RAISE EXCEPTION 'there is no job response %', $1 USING ERRCODE = 'no_data_found';
    END IF;
    BEGIN
        UPDATE job_responses r SET end_time = $2 WHERE r.job_response = $1;
    EXCEPTION WHEN exclusion_violation THEN
        RAISE EXCEPTION 'the machine works on another job order before %', $2
            USING ERRCODE = 'exclusion_violation', HINT = 'End this job where the other one starts, or correct the other one first.';
    END;
    UPDATE job_orders o SET status = 'COMPLETED'
    WHERE o.job_order = job.job_order AND order_completed AND o.status <> 'CANCELLED'
      AND NOT EXISTS (SELECT FROM job_responses r WHERE r.job_order = job.job_order AND r.end_time IS NULL);
END $$;
COMMENT ON FUNCTION complete_job IS
    'A machine ends its work on an order; a second call corrects the end. The order is COMPLETED when no machine works on it any more, unless order_completed is false.';

CREATE FUNCTION record_material(lot text, device integer, use text, quantity double precision, start_time timestamptz, end_time timestamptz,
                                who text, why text DEFAULT '', job_response uuid DEFAULT NULL, actual uuid DEFAULT NULL)
RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT sign_work(who, why);
    INSERT INTO material_actuals (actual, lot, device_id, use, quantity, start_time, end_time, job_response)
    VALUES (coalesce($10, gen_random_uuid()), $1, $2, $3, $4, $5, $6, coalesce($9, (SELECT j.job_response FROM running_job($2, $5) j)))
    RETURNING actual
$$;
COMMENT ON FUNCTION record_material IS
    'A lot is CONSUMED or PRODUCED at a machine. Without an execution it is the one that ran at the start.';

CREATE FUNCTION record_scrap(device integer, at_time timestamptz, quantity double precision, reason text, who text, why text DEFAULT '',
                             job_response uuid DEFAULT NULL, entry uuid DEFAULT NULL)
RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT sign_work(who, why);
    INSERT INTO scrap_entries (entry, device_id, time, quantity, reason, job_response)
    VALUES (coalesce($8, gen_random_uuid()), $1, $2, $3, $4, coalesce($7, (SELECT j.job_response FROM running_job($1, $2) j)))
    RETURNING entry
$$;
COMMENT ON FUNCTION record_scrap IS 'Scrap with its reason. Without an execution it is the one that ran at that time.';

CREATE FUNCTION start_batch(batch text, recipe text, version text, device integer, start_time timestamptz, who text, why text DEFAULT '', lot text DEFAULT NULL)
RETURNS void LANGUAGE sql VOLATILE AS $$
    SELECT sign_work(who, why);
    INSERT INTO batches (batch, recipe, version, device_id, start_time, lot) VALUES ($1, $2, $3, $4, $5, $8)
$$;
COMMENT ON FUNCTION start_batch IS 'A batch begins.';

CREATE FUNCTION enter_batch_phase(batch text, phase text, device integer, start_time timestamptz, end_time timestamptz, who text, why text DEFAULT '')
RETURNS void LANGUAGE sql VOLATILE AS $$
    SELECT sign_work(who, why);
    INSERT INTO batch_phases (batch, phase, device_id, start_time, end_time) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT ON CONSTRAINT batch_phases_pkey DO UPDATE SET end_time = excluded.end_time
$$;
COMMENT ON FUNCTION enter_batch_phase IS 'A phase of a batch begins; the same start again with an end ends it, or corrects its end.';

CREATE FUNCTION complete_batch(batch text, end_time timestamptz, who text, why text DEFAULT '', golden boolean DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM sign_work(who, why);
    PERFORM FROM batches b WHERE b.batch = $1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no batch %', $1 USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE batch_phases p SET end_time = $2 WHERE p.batch = $1 AND p.end_time IS NULL AND p.start_time < $2;
    UPDATE batches b SET end_time = $2, golden = coalesce($5, b.golden) WHERE b.batch = $1;
END $$;
COMMENT ON FUNCTION complete_batch IS 'A batch ends, and with it the phases that still run; a second call corrects the end. golden: whether others are compared with it (null: as it is).';

-- Views: one for each table, with the path of the machine where there is one, and what belongs to it.

CREATE VIEW shift_pattern AS
SELECT p.name, p.time_zone, s.shift, s.weekdays, s.starts, s.ends, s.entered_at, s.entered_by, s.why
FROM shift_patterns p LEFT JOIN shift_pattern_shifts s ON s.pattern = p.name;
COMMENT ON VIEW shift_pattern IS 'Shift patterns with their shifts.';

CREATE VIEW work_calendar AS
SELECT c.scope, c.valid_from, c.valid_to, c.pattern, p.time_zone, c.entered_at, c.entered_by, c.why
FROM work_calendars c JOIN shift_patterns p ON p.name = c.pattern;
COMMENT ON VIEW work_calendar IS 'Which part of the plant works by which pattern, and when.';

CREATE VIEW work_calendar_exception AS SELECT * FROM work_calendar_exceptions;
COMMENT ON VIEW work_calendar_exception IS 'Days that differ from the pattern.';

CREATE VIEW material_definition AS SELECT * FROM material_definitions;
COMMENT ON VIEW material_definition IS 'Products and materials.';

CREATE VIEW ideal_cycle_time AS
SELECT scope, material, nullif(valid_from, '-infinity') AS valid_from, valid_to, cycle_time_s, entered_at, entered_by, why FROM ideal_cycle_times;
COMMENT ON VIEW ideal_cycle_time IS 'Planned run time per item, by part of the plant and product.';

CREATE VIEW job_order AS
SELECT o.job_order, o.material, m.description, o.quantity, m.unit, o.scope, o.planned_start, o.planned_end, o.status, o.priority,
       r.start_time, CASE WHEN NOT r.running THEN r.end_time END AS end_time, o.entered_at, o.entered_by, o.why
FROM job_orders o
JOIN material_definitions m USING (material)
LEFT JOIN LATERAL (
    SELECT min(x.start_time) AS start_time, max(x.end_time) AS end_time, bool_or(x.end_time IS NULL) AS running
    FROM job_responses x WHERE x.job_order = o.job_order
) r ON true;
COMMENT ON VIEW job_order IS 'Orders with when they were really worked on.';

CREATE VIEW job_response AS
SELECT r.job_response, r.job_order, o.material, d.path AS device_path, r.start_time, r.end_time, r.device_id, r.entered_at, r.entered_by, r.why
FROM job_responses r JOIN job_orders o USING (job_order) JOIN device d USING (device_id);
COMMENT ON VIEW job_response IS 'When each machine worked on which order.';

CREATE VIEW material_lot AS
SELECT l.lot, l.material, l.description, l.quantity, l.unit, l.entered_at, l.entered_by, l.why FROM material_lots l;
COMMENT ON VIEW material_lot IS 'Lots.';

CREATE VIEW material_actual AS
SELECT a.actual, a.lot, l.material, a.use, a.quantity, l.unit, d.path AS device_path, a.start_time, a.end_time, r.job_order, a.job_response, a.device_id,
       a.entered_at, a.entered_by, a.why
FROM material_actuals a JOIN material_lots l USING (lot) JOIN device d USING (device_id) LEFT JOIN job_responses r USING (job_response);
COMMENT ON VIEW material_actual IS 'Which lot was consumed or produced where and when.';

CREATE VIEW downtime_reason AS SELECT * FROM downtime_reasons;
COMMENT ON VIEW downtime_reason IS 'Why machines stand.';

CREATE VIEW downtime_entry AS
SELECT e.entry, d.path AS device_path, e.start_time, e.end_time, e.reason, x.planned, e.device_id, e.ordinal, e.entered_at, e.entered_by, e.why
FROM downtime_entries e JOIN device d USING (device_id) LEFT JOIN downtime_reasons x USING (reason);
COMMENT ON VIEW downtime_entry IS 'What people said about stops; what holds after all of it is in downtimes_between().';

CREATE VIEW packml_reason AS
SELECT p.device_class, p.packml_state, p.reason, r.planned, p.entered_at, p.entered_by, p.why FROM packml_reasons p JOIN downtime_reasons r USING (reason);
COMMENT ON VIEW packml_reason IS 'The reason of a stop that nobody explained, by PackML state.';

CREATE VIEW scrap_reason AS SELECT * FROM scrap_reasons;
COMMENT ON VIEW scrap_reason IS 'Why items are scrap.';

CREATE VIEW scrap_entry AS
SELECT e.entry, d.path AS device_path, e.time, e.quantity, e.reason, r.job_order, e.job_response, e.device_id, e.entered_at, e.entered_by, e.why
FROM scrap_entries e JOIN device d USING (device_id) LEFT JOIN job_responses r USING (job_response);
COMMENT ON VIEW scrap_entry IS 'Scrap with its reason, as people entered it.';

CREATE VIEW recipe AS
SELECT r.recipe, r.version, r.material, p.phase, p.ordinal, p.nominal_s, r.entered_at, r.entered_by, r.why
FROM recipes r LEFT JOIN recipe_phases p USING (recipe, version);
COMMENT ON VIEW recipe IS 'Recipes with their phases.';

CREATE VIEW batch AS
SELECT b.batch, b.recipe, b.version, r.material, b.lot, d.path AS device_path, b.start_time, b.end_time, b.golden, b.device_id, b.entered_at, b.entered_by, b.why
FROM batches b JOIN recipes r USING (recipe, version) JOIN device d USING (device_id);
COMMENT ON VIEW batch IS 'Batches.';

CREATE VIEW batch_phase AS
SELECT p.batch, p.phase, r.ordinal, d.path AS device_path, p.start_time, p.end_time, r.nominal_s, p.device_id, p.entered_at, p.entered_by, p.why
FROM batch_phases p
JOIN batches b USING (batch)
JOIN device d ON d.device_id = p.device_id
LEFT JOIN recipe_phases r ON r.recipe = b.recipe AND r.version = b.version AND r.phase = p.phase;
COMMENT ON VIEW batch_phase IS 'Phases of batches, with what the recipe plans.';

CREATE VIEW work_change AS SELECT * FROM work_changes;
COMMENT ON VIEW work_change IS 'Every change of the model of work, with the row before and after.';

COMMENT ON COLUMN ideal_cycle_time.valid_from IS 'Start, inclusive; null when it holds from the beginning.';
COMMENT ON COLUMN job_order.description IS 'Of the product.';
COMMENT ON COLUMN job_order.start_time IS 'When the first machine began; null before.';
COMMENT ON COLUMN job_order.end_time IS 'When the last machine ended; null while one runs.';

-- A column of a view says what the column of the table says that it comes from; the tables of each view in the order in which they are asked.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT DISTINCT ON (v.view, a.attname) v.view, a.attname, col_description(b.attrelid, b.attnum) AS text
        FROM (VALUES
            ('shift_pattern', ARRAY['shift_patterns', 'shift_pattern_shifts']),
            ('work_calendar', ARRAY['work_calendars', 'shift_patterns']),
            ('work_calendar_exception', ARRAY['work_calendar_exceptions']),
            ('material_definition', ARRAY['material_definitions']),
            ('ideal_cycle_time', ARRAY['ideal_cycle_times']),
            ('job_order', ARRAY['job_orders', 'material_definitions']),
            ('job_response', ARRAY['job_responses', 'job_orders', 'oee']),
            ('material_lot', ARRAY['material_lots']),
            ('material_actual', ARRAY['material_actuals', 'material_lots', 'job_responses', 'oee']),
            ('downtime_reason', ARRAY['downtime_reasons']),
            ('downtime_entry', ARRAY['downtime_entries', 'downtime_reasons', 'oee']),
            ('packml_reason', ARRAY['packml_reasons', 'downtime_reasons']),
            ('scrap_reason', ARRAY['scrap_reasons']),
            ('scrap_entry', ARRAY['scrap_entries', 'job_responses', 'oee']),
            ('recipe', ARRAY['recipes', 'recipe_phases']),
            ('batch', ARRAY['batches', 'recipes', 'oee']),
            ('batch_phase', ARRAY['batch_phases', 'recipe_phases', 'oee']),
            ('work_change', ARRAY['work_changes'])
        ) AS v(view, tables)
        JOIN pg_attribute a ON a.attrelid = v.view::regclass AND a.attnum > 0
        CROSS JOIN LATERAL unnest(v.tables) WITH ORDINALITY AS t(name, place)
        JOIN pg_attribute b ON b.attrelid = t.name::regclass AND b.attname = a.attname AND b.attnum > 0
        WHERE col_description(a.attrelid, a.attnum) IS NULL
        ORDER BY v.view, a.attname, t.place
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', wanted.view, wanted.attname, wanted.text);
        EXECUTE format('GRANT SELECT ON %I TO millrace_reader', wanted.view);
    END LOOP;
END $$;
