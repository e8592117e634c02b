-- Who lets machines make tags by themselves gives a power away: that is an event of the audit log, too.

CREATE FUNCTION audit_accepted_proposal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO audit_outbox (action, who, name, before)
        VALUES ('registry:withdraw-rule', session_user, OLD.pattern, OLD.placement::text);
    ELSE
        INSERT INTO audit_outbox (action, who, why, name, after)
        VALUES ('registry:accept-rule', NEW.who, NEW.why, NEW.pattern, NEW.placement::text);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION audit_accepted_proposal IS 'Trigger: a standing rule that accepts, and one that is withdrawn, is an event.';
-- Not what maintenance writes there: how many tags a rule made, and what is wrong.
CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE OF who, why, placement ON accepted_proposals
    FOR EACH ROW EXECUTE FUNCTION audit_accepted_proposal();

-- The event of a version looks for its definitions.
CREATE INDEX tag_history_version ON tag_history (registry_version);
