-- The plant's model of work: when it is to work, what it makes, why it stood. Names follow ISA-95 (B2MML) and, for batches, ISA-88.
-- Every row says who entered it, when and why; every change leaves both versions in work_changes.

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE DOMAIN scope_path AS text CHECK (VALUE ~ '^[^/]+(/[^/]+){0,5}$');
COMMENT ON DOMAIN scope_path IS 'A part of the plant: enterprise[/site[/area[/line[/cell[/device]]]]]. It covers everything below it.';

CREATE FUNCTION is_time_zone(name text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = is_time_zone.name AND z.name NOT LIKE 'posix%' AND z.name <> 'localtime')
$$;
COMMENT ON FUNCTION is_time_zone IS 'Whether this is the name of an IANA time zone, such as Europe/Berlin.';

-- Calendars.

CREATE TABLE shift_patterns (
    name text PRIMARY KEY CHECK (name <> ''),
    time_zone text NOT NULL CHECK (is_time_zone(time_zone)),
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT ''
);
COMMENT ON TABLE shift_patterns IS 'Weeks of shifts. To change the shifts of a plant, add a pattern and date it in work_calendars; a change here restates the past.';
COMMENT ON COLUMN shift_patterns.name IS 'Name of the pattern.';
COMMENT ON COLUMN shift_patterns.time_zone IS 'IANA name of the zone its times are in.';

CREATE TABLE shift_pattern_shifts (
    pattern text NOT NULL REFERENCES shift_patterns,
    shift text NOT NULL CHECK (shift <> ''),
    weekdays integer[] NOT NULL CHECK (weekdays <@ ARRAY[1, 2, 3, 4, 5, 6, 7] AND cardinality(weekdays) BETWEEN 1 AND 7),
    starts time NOT NULL,
    ends time NOT NULL,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    PRIMARY KEY (pattern, shift, weekdays)
);
COMMENT ON TABLE shift_pattern_shifts IS 'Shifts of each pattern. Where two overlap, a moment belongs to the one that started later.';
COMMENT ON COLUMN shift_pattern_shifts.pattern IS 'Pattern.';
COMMENT ON COLUMN shift_pattern_shifts.shift IS 'Name of the shift.';
COMMENT ON COLUMN shift_pattern_shifts.weekdays IS 'Days on which it begins, as ISO numbers: 1 is Monday, 7 Sunday.';
COMMENT ON COLUMN shift_pattern_shifts.starts IS 'Local time at which it begins.';
COMMENT ON COLUMN shift_pattern_shifts.ends IS 'Local time at which it ends; not after starts: on the next day.';

CREATE TABLE work_calendars (
    scope scope_path NOT NULL,
    valid_from date NOT NULL,
    valid_to date,
    pattern text NOT NULL REFERENCES shift_patterns,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    PRIMARY KEY (scope, valid_from),
    CHECK (valid_to > valid_from),
    CONSTRAINT work_calendars_no_overlap EXCLUDE USING gist ((scope::text) WITH =, daterange(valid_from, valid_to) WITH &&)
);
COMMENT ON TABLE work_calendars IS 'Which pattern a part of the plant works by, and when. The longest scope that covers a machine wins, day by day. On days without a calendar all time is planned.';
COMMENT ON COLUMN work_calendars.scope IS 'Part of the plant.';
COMMENT ON COLUMN work_calendars.valid_from IS 'First day.';
COMMENT ON COLUMN work_calendars.valid_to IS 'Day after the last one; null while it is valid.';
COMMENT ON COLUMN work_calendars.pattern IS 'Pattern.';

CREATE TABLE work_calendar_exceptions (
    scope scope_path NOT NULL,
    day date NOT NULL,
    shift text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN ('CLOSED', 'EXTRA', 'CHANGED')),
    starts time,
    ends time,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    PRIMARY KEY (scope, day, shift),
    CONSTRAINT closed_has_no_times CHECK (kind <> 'CLOSED' OR (starts IS NULL AND ends IS NULL)),
    CONSTRAINT extra_and_changed_have_shift_and_times CHECK (kind = 'CLOSED' OR (shift <> '' AND starts IS NOT NULL AND ends IS NOT NULL))
);
COMMENT ON TABLE work_calendar_exceptions IS 'Days that differ from the pattern. Of what is said about a shift, the longest scope wins; where no calendar is valid an exception has no effect.';
COMMENT ON COLUMN work_calendar_exceptions.scope IS 'Part of the plant.';
COMMENT ON COLUMN work_calendar_exceptions.day IS 'Local day on which the shift begins.';
COMMENT ON COLUMN work_calendar_exceptions.shift IS 'Shift; empty with CLOSED: the whole day.';
COMMENT ON COLUMN work_calendar_exceptions.kind IS 'CLOSED: the shift, or the whole day, falls out. EXTRA: one more shift. CHANGED: the shift has these times.';
COMMENT ON COLUMN work_calendar_exceptions.starts IS 'Local time at which it begins, in the zone of the pattern; null with CLOSED.';
COMMENT ON COLUMN work_calendar_exceptions.ends IS 'Local time at which it ends; not after starts: on the next day.';

-- Products, orders, lots.

CREATE TABLE material_definitions (
    material text PRIMARY KEY CHECK (material <> ''),
    description text NOT NULL DEFAULT '',
    unit text NOT NULL DEFAULT '1',
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT ''
);
COMMENT ON TABLE material_definitions IS 'Products and materials.';
COMMENT ON COLUMN material_definitions.material IS 'Number or name.';
COMMENT ON COLUMN material_definitions.description IS 'For people.';
COMMENT ON COLUMN material_definitions.unit IS 'UCUM code quantities are in; 1 for pieces.';

CREATE TABLE ideal_cycle_times (
    scope scope_path NOT NULL,
    material text REFERENCES material_definitions,
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_to timestamptz,
    cycle_time_s double precision NOT NULL CHECK (cycle_time_s > 0 AND cycle_time_s < 'infinity'),
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    CONSTRAINT ideal_cycle_times_key UNIQUE NULLS NOT DISTINCT (scope, material, valid_from),
    CHECK (valid_to > valid_from),
    CONSTRAINT ideal_cycle_times_no_overlap EXCLUDE USING gist
        ((scope::text) WITH =, (coalesce(material, '')) WITH =, tstzrange(valid_from, valid_to) WITH &&)
);
COMMENT ON TABLE ideal_cycle_times IS 'Planned run time per item (PRI of ISO 22400-2). The longest scope wins, then the one for the material; without any, devices.planned_run_time_s.';
COMMENT ON COLUMN ideal_cycle_times.scope IS 'Part of the plant.';
COMMENT ON COLUMN ideal_cycle_times.material IS 'Product; null for any.';
COMMENT ON COLUMN ideal_cycle_times.valid_from IS 'Start, inclusive.';
COMMENT ON COLUMN ideal_cycle_times.valid_to IS 'End, exclusive; null while it is valid.';
COMMENT ON COLUMN ideal_cycle_times.cycle_time_s IS 'Seconds per item.';

CREATE TABLE job_orders (
    job_order text PRIMARY KEY CHECK (job_order <> ''),
    material text NOT NULL REFERENCES material_definitions,
    quantity double precision NOT NULL CHECK (quantity > 0 AND quantity < 'infinity'),
    scope scope_path NOT NULL,
    planned_start timestamptz NOT NULL,
    planned_end timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'PLANNED' CHECK (status IN ('PLANNED', 'RELEASED', 'RUNNING', 'COMPLETED', 'CANCELLED')),
    priority integer NOT NULL DEFAULT 0,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    CHECK (planned_end > planned_start)
);
CREATE INDEX job_orders_planned ON job_orders (planned_start);
COMMENT ON TABLE job_orders IS 'Work orders: what is to be made, where and when.';
COMMENT ON COLUMN job_orders.job_order IS 'Number of the order.';
COMMENT ON COLUMN job_orders.material IS 'Product.';
COMMENT ON COLUMN job_orders.quantity IS 'How much, in the unit of the product.';
COMMENT ON COLUMN job_orders.scope IS 'Part of the plant that is to make it.';
COMMENT ON COLUMN job_orders.planned_start IS 'Planned start.';
COMMENT ON COLUMN job_orders.planned_end IS 'Planned end.';
COMMENT ON COLUMN job_orders.status IS 'PLANNED, RELEASED, RUNNING, COMPLETED or CANCELLED.';
COMMENT ON COLUMN job_orders.priority IS 'Higher goes first.';

CREATE TABLE job_responses (
    job_response uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job_order text NOT NULL REFERENCES job_orders,
    device_id integer NOT NULL REFERENCES devices,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    CHECK (end_time > start_time),
    CONSTRAINT job_responses_one_at_a_time EXCLUDE USING gist (device_id WITH =, tstzrange(start_time, end_time) WITH &&)
);
CREATE INDEX job_responses_order ON job_responses (job_order);
COMMENT ON TABLE job_responses IS 'When a machine worked on an order. At most one at a time per machine.';
COMMENT ON COLUMN job_responses.job_response IS 'Execution.';
COMMENT ON COLUMN job_responses.job_order IS 'Order.';
COMMENT ON COLUMN job_responses.device_id IS 'Machine.';
COMMENT ON COLUMN job_responses.start_time IS 'Start, inclusive.';
COMMENT ON COLUMN job_responses.end_time IS 'End, exclusive; null while it runs.';

CREATE TABLE material_lots (
    lot text PRIMARY KEY CHECK (lot <> ''),
    material text NOT NULL REFERENCES material_definitions,
    quantity double precision CHECK (quantity >= 0 AND quantity < 'infinity'),
    unit text NOT NULL DEFAULT '1',
    description text NOT NULL DEFAULT '',
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT ''
);
COMMENT ON TABLE material_lots IS 'Lots of materials and products.';
COMMENT ON COLUMN material_lots.lot IS 'Number of the lot.';
COMMENT ON COLUMN material_lots.material IS 'What it is of.';
COMMENT ON COLUMN material_lots.quantity IS 'How much; null when it is not known.';
COMMENT ON COLUMN material_lots.unit IS 'UCUM code of the quantity.';
COMMENT ON COLUMN material_lots.description IS 'For people.';

CREATE TABLE material_actuals (
    actual uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lot text NOT NULL REFERENCES material_lots,
    job_response uuid REFERENCES job_responses,
    device_id integer NOT NULL REFERENCES devices,
    use text NOT NULL CHECK (use IN ('CONSUMED', 'PRODUCED')),
    quantity double precision CHECK (quantity >= 0 AND quantity < 'infinity'),
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    CHECK (end_time > start_time)
);
CREATE INDEX material_actuals_lot ON material_actuals (lot);
CREATE INDEX material_actuals_device ON material_actuals (device_id, start_time);
COMMENT ON TABLE material_actuals IS 'Which lot was consumed or produced at which machine, and when.';
COMMENT ON COLUMN material_actuals.actual IS 'Entry.';
COMMENT ON COLUMN material_actuals.lot IS 'Lot.';
COMMENT ON COLUMN material_actuals.job_response IS 'Execution it was part of; null for none.';
COMMENT ON COLUMN material_actuals.device_id IS 'Machine.';
COMMENT ON COLUMN material_actuals.use IS 'CONSUMED or PRODUCED.';
COMMENT ON COLUMN material_actuals.quantity IS 'How much, in the unit of the lot; null when it is not known.';
COMMENT ON COLUMN material_actuals.start_time IS 'Start, inclusive.';
COMMENT ON COLUMN material_actuals.end_time IS 'End, exclusive; null while it goes on.';

-- Downtime and scrap.

CREATE TABLE downtime_reasons (
    reason text PRIMARY KEY CHECK (reason ~ '^[^/]+(/[^/]+)*$'),
    description text NOT NULL DEFAULT '',
    planned boolean NOT NULL DEFAULT false,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT ''
);
COMMENT ON TABLE downtime_reasons IS 'Why a machine stands: a tree, by paths such as mechanical/bearing.';
COMMENT ON COLUMN downtime_reasons.reason IS 'Path in the tree.';
COMMENT ON COLUMN downtime_reasons.description IS 'For people.';
COMMENT ON COLUMN downtime_reasons.planned IS 'Whether such time is taken off the planned busy time.';

CREATE TABLE downtime_entries (
    entry uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    device_id integer NOT NULL REFERENCES devices,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    reason text REFERENCES downtime_reasons,
    ordinal bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    CHECK (end_time > start_time)
);
CREATE INDEX downtime_entries_range ON downtime_entries USING gist (device_id, tstzrange(start_time, end_time));
COMMENT ON TABLE downtime_entries IS 'What people said about stops. For each moment the entry with the highest ordinal wins: two split a stop, one over both merges them, a newer one corrects.';
COMMENT ON COLUMN downtime_entries.entry IS 'Entry.';
COMMENT ON COLUMN downtime_entries.device_id IS 'Machine.';
COMMENT ON COLUMN downtime_entries.start_time IS 'Start, inclusive.';
COMMENT ON COLUMN downtime_entries.end_time IS 'End, exclusive; null: until the machine executes again.';
COMMENT ON COLUMN downtime_entries.reason IS 'Why it stood; null takes back what was said: the reason is the automatic one again.';
COMMENT ON COLUMN downtime_entries.ordinal IS 'Order in which they were entered.';

CREATE TABLE packml_reasons (
    device_class text,
    packml_state text NOT NULL,
    reason text NOT NULL REFERENCES downtime_reasons,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    CONSTRAINT packml_reasons_key UNIQUE NULLS NOT DISTINCT (device_class, packml_state)
);
COMMENT ON TABLE packml_reasons IS 'The reason of a stop that nobody explained, by PackML state. The one for the class wins over the one for any.';
COMMENT ON COLUMN packml_reasons.device_class IS 'Class of machine; null for any.';
COMMENT ON COLUMN packml_reasons.packml_state IS 'Name of the state, such as ABORTED.';
COMMENT ON COLUMN packml_reasons.reason IS 'Reason.';

CREATE TABLE scrap_reasons (
    reason text PRIMARY KEY CHECK (reason ~ '^[^/]+(/[^/]+)*$'),
    description text NOT NULL DEFAULT '',
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT ''
);
COMMENT ON TABLE scrap_reasons IS 'Why items are scrap: a tree, by paths.';
COMMENT ON COLUMN scrap_reasons.reason IS 'Path in the tree.';
COMMENT ON COLUMN scrap_reasons.description IS 'For people.';

CREATE TABLE scrap_entries (
    entry uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    device_id integer NOT NULL REFERENCES devices,
    time timestamptz NOT NULL,
    quantity double precision NOT NULL CHECK (quantity >= 0 AND quantity < 'infinity'),
    reason text NOT NULL REFERENCES scrap_reasons,
    job_response uuid REFERENCES job_responses,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT ''
);
CREATE INDEX scrap_entries_device ON scrap_entries (device_id, time);
COMMENT ON TABLE scrap_entries IS 'Scrap with its reason, as people enter it. What machines count themselves is the tag scrap_count.';
COMMENT ON COLUMN scrap_entries.entry IS 'Entry.';
COMMENT ON COLUMN scrap_entries.device_id IS 'Machine that made it.';
COMMENT ON COLUMN scrap_entries.time IS 'When it was made.';
COMMENT ON COLUMN scrap_entries.quantity IS 'Items.';
COMMENT ON COLUMN scrap_entries.reason IS 'Reason.';
COMMENT ON COLUMN scrap_entries.job_response IS 'Execution it was part of; null for none.';

-- Batches (ISA-88).

CREATE TABLE recipes (
    recipe text NOT NULL CHECK (recipe <> ''),
    version text NOT NULL CHECK (version <> ''),
    material text NOT NULL REFERENCES material_definitions,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    PRIMARY KEY (recipe, version)
);
COMMENT ON TABLE recipes IS 'Recipes and their versions.';
COMMENT ON COLUMN recipes.recipe IS 'Name.';
COMMENT ON COLUMN recipes.version IS 'Version.';
COMMENT ON COLUMN recipes.material IS 'Product.';

CREATE TABLE recipe_phases (
    recipe text NOT NULL,
    version text NOT NULL,
    phase text NOT NULL CHECK (phase <> ''),
    ordinal integer NOT NULL,
    nominal_s double precision CHECK (nominal_s > 0 AND nominal_s < 'infinity'),
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    PRIMARY KEY (recipe, version, phase),
    FOREIGN KEY (recipe, version) REFERENCES recipes,
    UNIQUE (recipe, version, ordinal)
);
COMMENT ON TABLE recipe_phases IS 'Phases of each recipe.';
COMMENT ON COLUMN recipe_phases.recipe IS 'Recipe.';
COMMENT ON COLUMN recipe_phases.version IS 'Version of the recipe.';
COMMENT ON COLUMN recipe_phases.phase IS 'Phase.';
COMMENT ON COLUMN recipe_phases.ordinal IS 'Place in the order.';
COMMENT ON COLUMN recipe_phases.nominal_s IS 'How long it takes, seconds; null when it is not said.';

CREATE TABLE batches (
    batch text PRIMARY KEY CHECK (batch <> ''),
    recipe text NOT NULL,
    version text NOT NULL,
    lot text REFERENCES material_lots,
    device_id integer NOT NULL REFERENCES devices,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    golden boolean NOT NULL DEFAULT false,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    FOREIGN KEY (recipe, version) REFERENCES recipes,
    CHECK (end_time > start_time)
);
CREATE INDEX batches_device ON batches (device_id, start_time);
COMMENT ON TABLE batches IS 'Batches.';
COMMENT ON COLUMN batches.batch IS 'Number of the batch.';
COMMENT ON COLUMN batches.recipe IS 'Recipe.';
COMMENT ON COLUMN batches.version IS 'Version of the recipe.';
COMMENT ON COLUMN batches.lot IS 'Lot it makes; null for none.';
COMMENT ON COLUMN batches.device_id IS 'Unit it is made in.';
COMMENT ON COLUMN batches.start_time IS 'Start, inclusive.';
COMMENT ON COLUMN batches.end_time IS 'End, exclusive; null while it runs.';
COMMENT ON COLUMN batches.golden IS 'Whether others are compared with it.';

CREATE TABLE batch_phases (
    batch text NOT NULL REFERENCES batches,
    phase text NOT NULL CHECK (phase <> ''),
    device_id integer NOT NULL REFERENCES devices,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    entered_at timestamptz NOT NULL DEFAULT now(), entered_by text NOT NULL, why text NOT NULL DEFAULT '',
    PRIMARY KEY (batch, phase, device_id, start_time),
    CHECK (end_time > start_time)
);
CREATE INDEX batch_phases_device ON batch_phases (device_id, start_time);
COMMENT ON TABLE batch_phases IS 'When each phase of a batch ran.';
COMMENT ON COLUMN batch_phases.batch IS 'Batch.';
COMMENT ON COLUMN batch_phases.phase IS 'Phase; also one that the recipe does not have, such as a hold.';
COMMENT ON COLUMN batch_phases.device_id IS 'Unit it ran in.';
COMMENT ON COLUMN batch_phases.start_time IS 'Start, inclusive.';
COMMENT ON COLUMN batch_phases.end_time IS 'End, exclusive; null while it runs.';

-- The trace.

CREATE TABLE work_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    why text NOT NULL,
    table_name text NOT NULL,
    key jsonb NOT NULL,
    before jsonb,
    after jsonb
);
CREATE INDEX work_changes_key ON work_changes (table_name, key);
COMMENT ON TABLE work_changes IS 'Every change of the plant''s model of work. Only its triggers write here.';
COMMENT ON COLUMN work_changes.change_id IS 'Order of the changes.';
COMMENT ON COLUMN work_changes.changed_at IS 'When.';
COMMENT ON COLUMN work_changes.who IS 'Who.';
COMMENT ON COLUMN work_changes.why IS 'Why, in the words of who did it; empty when nothing was said.';
COMMENT ON COLUMN work_changes.table_name IS 'Table.';
COMMENT ON COLUMN work_changes.key IS 'Key of the row.';
COMMENT ON COLUMN work_changes.before IS 'The row as it was; null when it is new.';
COMMENT ON COLUMN work_changes.after IS 'The row as it is now; null when it was deleted.';

CREATE FUNCTION sign_work(who text, why text) RETURNS void
LANGUAGE sql VOLATILE AS $$
    SELECT set_config('millrace.who', coalesce(who, ''), true), set_config('millrace.why', coalesce(why, ''), true)
$$;
COMMENT ON FUNCTION sign_work IS 'Says who changes the model of work, and why, for the rest of this transaction. Without it, it is the database role.';

CREATE FUNCTION stamp_work() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    signature CONSTANT text[] := ARRAY['entered_at', 'entered_by', 'why'];
    who CONSTANT text := coalesce(nullif(current_setting('millrace.who', true), ''), session_user);
    reason CONSTANT text := coalesce(current_setting('millrace.why', true), '');
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF to_jsonb(NEW) - signature = to_jsonb(OLD) - signature THEN
            RETURN NULL; -- it changes nothing
        END IF;
        NEW.entered_at := now();
        IF NEW.entered_by IS NOT DISTINCT FROM OLD.entered_by THEN
            NEW.entered_by := who;
        END IF;
        IF NEW.why = OLD.why THEN
            NEW.why := reason;
        END IF;
    ELSE
        NEW.entered_by := coalesce(nullif(NEW.entered_by, ''), who);
        NEW.why := coalesce(nullif(NEW.why, ''), reason);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION stamp_work IS 'Trigger: completes who entered a row, when and why. An update that changes nothing is left out.';

CREATE FUNCTION trace_work() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    key jsonb;
BEGIN
    SELECT jsonb_object_agg(name, coalesce(after, before) -> name) INTO key FROM unnest(TG_ARGV) AS name;
    INSERT INTO work_changes (who, why, table_name, key, before, after)
    VALUES (coalesce(after ->> 'entered_by', nullif(current_setting('millrace.who', true), ''), session_user),
            coalesce(after ->> 'why', current_setting('millrace.why', true), ''), TG_TABLE_NAME, key, before, after);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION trace_work IS 'Trigger: writes each change to work_changes. Its arguments are the columns of the key.';

DO $$
DECLARE
    name text;
    key text;
BEGIN
    FOR name, key IN
        SELECT c.relname, string_agg(quote_literal(a.attname), ', ' ORDER BY k.place)
        FROM pg_class c
        JOIN pg_attribute mark ON mark.attrelid = c.oid AND mark.attname = 'entered_by'
        JOIN pg_index i ON i.indrelid = c.oid
        CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
          AND (i.indisprimary OR i.indexrelid::regclass::text IN ('ideal_cycle_times_key', 'packml_reasons_key'))
        GROUP BY c.relname
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.entered_at IS %L', name, 'When this was entered.');
        EXECUTE format('COMMENT ON COLUMN %I.entered_by IS %L', name, 'Who entered it.');
        EXECUTE format('COMMENT ON COLUMN %I.why IS %L', name, 'Why, in their words; empty when nothing was said.');
        EXECUTE format('CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION stamp_work()', name);
        EXECUTE format('CREATE TRIGGER trace AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION trace_work(%s)', name, key);
    END LOOP;
END $$;

-- millrace_planner changes the model of work and nothing else. What happened (executions, lots, entries, batches) is corrected, never deleted.

DO $$
BEGIN
    CREATE ROLE millrace_planner NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles belong to the whole cluster: another database made it
END $$;

GRANT USAGE ON SCHEMA public TO millrace_planner;
GRANT millrace_reader TO millrace_planner;
GRANT SELECT ON shift_patterns, shift_pattern_shifts, work_calendars, work_calendar_exceptions, material_definitions, ideal_cycle_times,
    job_orders, job_responses, material_lots, material_actuals, downtime_reasons, downtime_entries, packml_reasons, scrap_reasons, scrap_entries,
    recipes, recipe_phases, batches, batch_phases, work_changes TO millrace_reader;
GRANT INSERT, UPDATE ON shift_patterns, shift_pattern_shifts, work_calendars, work_calendar_exceptions, material_definitions, ideal_cycle_times,
    job_orders, job_responses, material_lots, material_actuals, downtime_reasons, packml_reasons, scrap_reasons, scrap_entries,
    recipes, recipe_phases, batches, batch_phases TO millrace_planner;
GRANT INSERT ON downtime_entries TO millrace_planner;
GRANT DELETE ON shift_patterns, shift_pattern_shifts, work_calendars, work_calendar_exceptions, ideal_cycle_times, packml_reasons, recipe_phases
    TO millrace_planner;
