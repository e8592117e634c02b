-- Standing rules that accept what machines propose; those that refuse are refused_proposals.

CREATE TABLE accepted_proposals (
    gateway_id text NOT NULL,
    pattern text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    why text NOT NULL,
    placement jsonb NOT NULL,
    tags_made bigint NOT NULL DEFAULT 0,
    last_made_at timestamptz,
    problem text NOT NULL DEFAULT '',
    PRIMARY KEY (gateway_id, pattern)
);
COMMENT ON TABLE accepted_proposals IS 'What is accepted as soon as it is proposed.';
COMMENT ON COLUMN accepted_proposals.gateway_id IS 'Gateway; empty for all.';
COMMENT ON COLUMN accepted_proposals.pattern IS 'Address, or a pattern of addresses in which * stands for any text.';
COMMENT ON COLUMN accepted_proposals.accepted_at IS 'When the rule was made.';
COMMENT ON COLUMN accepted_proposals.who IS 'Who made the rule; the tags that it makes are this person''s.';
COMMENT ON COLUMN accepted_proposals.why IS 'Why, in the words of who made it.';
COMMENT ON COLUMN accepted_proposals.placement IS 'Where the tags go, and of which class and period they are.';
COMMENT ON COLUMN accepted_proposals.tags_made IS 'Tags that it has made.';
COMMENT ON COLUMN accepted_proposals.last_made_at IS 'When it made the last one; null when it has made none.';
COMMENT ON COLUMN accepted_proposals.problem IS 'Why something that it matches is no tag; empty when nothing is left.';

GRANT SELECT ON accepted_proposals TO millrace_reader;
