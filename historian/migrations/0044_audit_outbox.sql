-- What people change through the database is an event of the audit log: written in the transaction that changes it, whoever does it and with
-- whatever tool, and brought to the topic audit.log by maintenance. A change without its event cannot be.

CREATE TABLE audit_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    login text NOT NULL DEFAULT session_user,
    action text NOT NULL,
    who text NOT NULL,
    why text NOT NULL DEFAULT '',
    name text NOT NULL DEFAULT '',
    path text NOT NULL DEFAULT '',
    before text NOT NULL DEFAULT '',
    after text NOT NULL DEFAULT ''
);
COMMENT ON TABLE audit_outbox IS 'Events on their way to the topic audit.log; a row is deleted when the topic has it.';
COMMENT ON COLUMN audit_outbox.id IS 'Order.';
COMMENT ON COLUMN audit_outbox.event_id IS 'Identity of the event.';
COMMENT ON COLUMN audit_outbox.noted_at IS 'When it happened.';
COMMENT ON COLUMN audit_outbox.login IS 'Role that was logged in.';
COMMENT ON COLUMN audit_outbox.action IS 'What was done.';
COMMENT ON COLUMN audit_outbox.who IS 'Who did it, as it was said; the role where nothing was said.';
COMMENT ON COLUMN audit_outbox.why IS 'Why, in the words of who did it.';
COMMENT ON COLUMN audit_outbox.name IS 'What it is about.';
COMMENT ON COLUMN audit_outbox.path IS 'Where.';
COMMENT ON COLUMN audit_outbox.before IS 'What was there before.';
COMMENT ON COLUMN audit_outbox.after IS 'What is there now.';

-- At the end of the transaction, when the definitions of the version are there. Of many tags the first ten, by path.
CREATE FUNCTION audit_registry_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    total bigint;
    before_text text;
    after_text text;
    place text;
BEGIN
    SELECT count(*) INTO total FROM tag_history WHERE registry_version = NEW.version;
    WITH changed AS (
        SELECT h.tag_id, h.definition AS becomes, o.definition AS was, h.definition ->> 'path' AS path
        FROM tag_history h
        LEFT JOIN tag_history o ON o.tag_id = h.tag_id AND o.valid_to = h.valid_from
        WHERE h.registry_version = NEW.version
        ORDER BY h.definition ->> 'path' LIMIT 10
    ), differing AS (
        SELECT c.path,
               jsonb_object_agg(d.key, c.was -> d.key) FILTER (WHERE c.was ? d.key) AS was,
               jsonb_object_agg(d.key, d.value) AS becomes
        FROM changed c, jsonb_each(c.becomes) d
        WHERE d.key <> 'registry_version' AND d.value IS DISTINCT FROM (c.was -> d.key)
          AND (c.was IS NOT NULL OR d.key IN ('data_type', 'unit', 'address'))
        GROUP BY c.path
    )
    SELECT coalesce(jsonb_object_agg(f.path, f.was) FILTER (WHERE f.was IS NOT NULL), '{}')::text,
           coalesce(jsonb_object_agg(f.path, f.becomes), '{}')::text,
           CASE WHEN total = 1 THEN min(f.path) ELSE '' END
    INTO before_text, after_text, place FROM differing f;
    INSERT INTO audit_outbox (action, who, why, name, path, before, after)
    VALUES ('registry:change', NEW.who, NEW.why, NEW.what || ': version ' || NEW.version || ', ' || total || ' tags', coalesce(place, ''),
            left(before_text, 2000), left(after_text, 2000));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_registry_change IS 'Trigger: a version of the registry is an event.';
CREATE CONSTRAINT TRIGGER audit AFTER INSERT ON registry_changes DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit_registry_change();

CREATE FUNCTION audit_refused_proposal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO audit_outbox (action, who, name) VALUES ('registry:accept-again', session_user, OLD.pattern);
    ELSE
        INSERT INTO audit_outbox (action, who, why, name) VALUES ('registry:refuse', NEW.who, NEW.why, NEW.pattern);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_refused_proposal IS 'Trigger: a refusal, and one that is withdrawn, is an event.';
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON refused_proposals FOR EACH ROW EXECUTE FUNCTION audit_refused_proposal();

-- At the end of the transaction, when it is known how many samples it was.
CREATE FUNCTION audit_correction() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_outbox (action, who, why, name, path, after)
    SELECT 'history:correct', c.who, c.why, c.correction_id::text,
           coalesce((SELECT t.path FROM tag_definition t WHERE t.tag_id = c.tag_id), ''),
           left(jsonb_strip_nulls(to_jsonb(c) - 'who' - 'why' - 'correction_id' - 'corrected_at')::text, 2000)
    FROM corrections c WHERE c.correction_id = NEW.correction_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_correction IS 'Trigger: a correction of stored samples is an event.';
CREATE CONSTRAINT TRIGGER audit AFTER INSERT ON corrections DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit_correction();

CREATE FUNCTION audit_replays() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_outbox (action, who, name, after)
    SELECT 'history:replay', session_user, left(correction, 100),
           json_build_object('refusals', count(*), 'samples', sum(samples), 'tags', count(DISTINCT tag_id))::text
    FROM claimed GROUP BY correction;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_replays IS 'Trigger: refused samples that are sent again are an event a statement and correction.';
CREATE TRIGGER audit AFTER INSERT ON replays REFERENCING NEW TABLE AS claimed FOR EACH STATEMENT EXECUTE FUNCTION audit_replays();

-- How far history was dropped is of maintenance, and no change of a policy.
CREATE FUNCTION audit_storage_policy() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    noise CONSTANT text[] := ARRAY['dropped_before', 'changed_at', 'changed_by'];
    old_policy jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - noise END;
    new_policy jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - noise END;
    policy jsonb := coalesce(new_policy, old_policy);
BEGIN
    IF old_policy IS DISTINCT FROM new_policy THEN
        INSERT INTO audit_outbox (action, who, name, before, after)
        VALUES ('storage:policy', session_user, (policy ->> 'resolution') || ' ' || (policy ->> 'tag_class'),
                coalesce(old_policy::text, ''), coalesce(new_policy::text, ''));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_storage_policy IS 'Trigger: a storage policy that is set, changed or taken away is an event.';
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON storage_policy FOR EACH ROW EXECUTE FUNCTION audit_storage_policy();
