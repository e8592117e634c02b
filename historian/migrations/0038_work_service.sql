-- What serving asks the model of work for: what lies where a caller may, machines by path, orders that may be there already, several ranges at once.

CREATE FUNCTION scopes_cover(scopes text[], path text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '' = ANY (scopes) OR EXISTS (SELECT FROM unnest(scopes) AS s(scope) WHERE scope_covers(s.scope, path));
COMMENT ON FUNCTION scopes_cover IS 'Whether a path lies in one of several scopes; an empty one is everywhere.';

CREATE FUNCTION device_at(device_path text) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found integer := (SELECT d.device_id FROM device d WHERE d.path = device_path);
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'there is no device %', left(device_path, 200) USING ERRCODE = 'no_data_found';
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION device_at IS 'Device that stands at a path now; an error when there is none.';

CREATE FUNCTION put_job_order(job_order text, material text, quantity double precision, scope text, planned_start timestamptz, planned_end timestamptz,
                              who text, why text DEFAULT '', status text DEFAULT NULL, priority integer DEFAULT 0)
RETURNS void LANGUAGE sql VOLATILE AS $$
    SELECT sign_work(who, why);
    INSERT INTO job_orders AS o (job_order, material, quantity, scope, planned_start, planned_end, status, priority)
    VALUES ($1, $2, $3, $4, $5, $6, coalesce($9, 'PLANNED'), $10)
    ON CONFLICT ON CONSTRAINT job_orders_pkey DO UPDATE SET material = excluded.material, quantity = excluded.quantity, scope = excluded.scope,
        planned_start = excluded.planned_start, planned_end = excluded.planned_end, status = coalesce($9, o.status), priority = excluded.priority
$$;
COMMENT ON FUNCTION put_job_order IS 'Enters an order, or changes one that is there; without a status it keeps its own, and a new one is PLANNED.';

CREATE FUNCTION enter_downtimes(device integer, ranges jsonb, who text, why text DEFAULT '') RETURNS uuid[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made uuid[] := '{}';
    one record;
BEGIN
    FOR one IN SELECT * FROM jsonb_to_recordset(ranges) AS r(start_time timestamptz, end_time timestamptz, reason text) LOOP
        made := made || enter_downtime(device, one.start_time, one.end_time, one.reason, who, why);
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION enter_downtimes IS 'enter_downtime for several ranges {start_time, end_time, reason}, in their order: all or none.';

CREATE FUNCTION put_material_lot(lot text, material text, who text, why text DEFAULT '') RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT sign_work(who, why);
    INSERT INTO material_lots (lot, material, unit) SELECT $1, m.material, m.unit FROM material_definitions m WHERE m.material = $2
    ON CONFLICT ON CONSTRAINT material_lots_pkey DO NOTHING;
    SELECT $1
$$;
COMMENT ON FUNCTION put_material_lot IS 'Enters a lot of a material when it is new; returns the lot.';

-- The owner may act as the planner: serving does so when it has no login of its own for it.
DO $$
BEGIN
    EXECUTE format('GRANT millrace_planner TO %I', current_user);
EXCEPTION WHEN insufficient_privilege OR invalid_grant_operation THEN
    RAISE NOTICE 'role % is no member of millrace_planner: give serving a login that is one', current_user;
END $$;
