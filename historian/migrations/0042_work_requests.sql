-- An entry that is sent twice is one: what a caller may have to send again, because the answer got lost, carries an id that the caller made.

CREATE TABLE work_requests (
    request_id uuid PRIMARY KEY,
    who text NOT NULL,
    content bytea NOT NULL,
    answer text,
    requested_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX work_requests_requested_at ON work_requests (requested_at);
COMMENT ON TABLE work_requests IS 'Entries of the last seven days that came with an id of their caller''s: sent again, they are answered and not entered.';
COMMENT ON COLUMN work_requests.request_id IS 'Id that the caller made.';
COMMENT ON COLUMN work_requests.who IS 'Who entered it.';
COMMENT ON COLUMN work_requests.content IS 'Digest of what was entered.';
COMMENT ON COLUMN work_requests.answer IS 'What was answered, as text; null until the entry is made.';
COMMENT ON COLUMN work_requests.requested_at IS 'When it came first.';

CREATE FUNCTION work_request(request_id uuid, who text, content bytea) RETURNS TABLE (done boolean, answer text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    known work_requests;
BEGIN
    DELETE FROM work_requests r WHERE r.requested_at < now() - interval '7 days';
    -- A second one waits here until the first is over.
    INSERT INTO work_requests (request_id, who, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT known FROM work_requests r WHERE r.request_id = $1;
    IF (known.who, known.content) IS DISTINCT FROM ($2, $3) THEN
        RAISE EXCEPTION 'request % was something else', $1
            USING ERRCODE = 'unique_violation', DETAIL = format('request_id %s was used for another entry; make a new one for each', $1);
    END IF;
    RETURN QUERY SELECT known.answer IS NOT NULL, known.answer;
END $$;
COMMENT ON FUNCTION work_request IS
    'Begins an entry with an id of its caller''s: whether it was made already, and what was answered then. An error when the id was used for another.';

CREATE FUNCTION answer_work_request(request_id uuid, answer text) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE work_requests r SET answer = $2 WHERE r.request_id = $1 RETURNING r.answer
$$;
COMMENT ON FUNCTION answer_work_request IS 'Keeps what was answered to an entry, in the transaction that makes it; returns it.';

REVOKE EXECUTE ON FUNCTION work_request, answer_work_request FROM PUBLIC;
GRANT EXECUTE ON FUNCTION work_request, answer_work_request TO millrace_planner;
