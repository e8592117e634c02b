-- Births and unknown topics propose definitions: what machines say and the registry does not know, and what people refused.

CREATE INDEX device_events_proposals ON device_events (gateway_id, (attributes ->> 'address')) WHERE kind = 'PROPOSAL';

CREATE TABLE refused_proposals (
    gateway_id text NOT NULL,
    pattern text NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    why text NOT NULL,
    PRIMARY KEY (gateway_id, pattern)
);
COMMENT ON TABLE refused_proposals IS 'What shall not be proposed again.';
COMMENT ON COLUMN refused_proposals.gateway_id IS 'Gateway; empty for all.';
COMMENT ON COLUMN refused_proposals.pattern IS 'Address, or a pattern of addresses in which * stands for any text.';
COMMENT ON COLUMN refused_proposals.refused_at IS 'When it was refused.';
COMMENT ON COLUMN refused_proposals.who IS 'Who refused it.';
COMMENT ON COLUMN refused_proposals.why IS 'Why, in the words of who refused it.';

CREATE FUNCTION address_matches(address text, pattern text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT address LIKE replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')
$$;
COMMENT ON FUNCTION address_matches IS 'Whether an address is what a pattern says, in which * stands for any text.';

CREATE VIEW proposal AS
SELECT p.gateway_id, p.newest ->> 'connector' AS connection, p.address, p.newest ->> 'name' AS name, p.newest ->> 'data_type' AS data_type,
       p.newest ->> 'engUnit' AS unit, p.newest ->> 'refused' AS unreadable, p.first_seen, p.last_seen, p.times_seen, r.who AS refused_by,
       r.why AS refused_why, p.newest AS attributes
FROM (
    SELECT gateway_id, attributes ->> 'address' AS address, min(time) AS first_seen, max(time) AS last_seen, count(*) AS times_seen,
           (array_agg(attributes ORDER BY time DESC))[1] AS newest
    FROM device_events
    WHERE kind = 'PROPOSAL'
    GROUP BY gateway_id, attributes ->> 'address'
) p
LEFT JOIN LATERAL (
    SELECT who, why FROM refused_proposals
    WHERE gateway_id IN ('', p.gateway_id) AND address_matches(p.address, pattern)
    ORDER BY refused_at LIMIT 1
) r ON true
WHERE NOT EXISTS (
    SELECT FROM tags t JOIN devices d USING (device_id)
    WHERE t.address = p.address AND d.gateway_id = p.gateway_id AND NOT t.retired AND NOT d.retired
);
COMMENT ON VIEW proposal IS 'What machines named in births and messages and the registry does not know.';
COMMENT ON COLUMN proposal.gateway_id IS 'Gateway that saw it.';
COMMENT ON COLUMN proposal.connection IS 'Connection of that gateway.';
COMMENT ON COLUMN proposal.address IS 'Address that a tag would have.';
COMMENT ON COLUMN proposal.name IS 'Name at the machine.';
COMMENT ON COLUMN proposal.data_type IS 'Type at the machine, as its protocol calls it.';
COMMENT ON COLUMN proposal.unit IS 'Unit, as the machine spells it; null when it said none.';
COMMENT ON COLUMN proposal.unreadable IS 'Why no tag can carry it; null when one can.';
COMMENT ON COLUMN proposal.first_seen IS 'When it was proposed first, as far back as events are kept.';
COMMENT ON COLUMN proposal.last_seen IS 'When it was proposed last. A gateway proposes each address once in its life.';
COMMENT ON COLUMN proposal.times_seen IS 'How often it was proposed.';
COMMENT ON COLUMN proposal.refused_by IS 'Who refused it; null when nobody did.';
COMMENT ON COLUMN proposal.refused_why IS 'Why it was refused.';
COMMENT ON COLUMN proposal.attributes IS 'All that the machine said of it.';

GRANT SELECT ON proposal, refused_proposals TO millrace_reader;
