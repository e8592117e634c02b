-- Functions over samples: hash and checksum, names of codes, statistics that can be merged.

CREATE FUNCTION wrap64(total numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (mod(mod(total + 9223372036854775808, 18446744073709551616) + 18446744073709551616, 18446744073709551616) - 9223372036854775808)::bigint;
COMMENT ON FUNCTION wrap64 IS 'Any whole number modulo 2^64, as two''s complement: wrap64(sum(stored_checksum)) adds checksums up.';

CREATE FUNCTION shift_right(bits bigint, places integer) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (bits >> places) & ((1::bigint << (64 - places)) - 1);
COMMENT ON FUNCTION shift_right IS 'Logical shift: zeros come in from the left, where >> would repeat the sign.';

CREATE FUNCTION sample_hash(tag_id integer, time_us bigint, value double precision, quality integer) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    -- The same rounds as schemas.checksum, over two's complement.
    SELECT c.h # shift_right(c.h, 32)
    FROM (SELECT wrap64(((tag_id::bigint << 16) | (quality & 65535))::numeric * -7046029254386353131) # time_us AS h) AS a
    CROSS JOIN LATERAL (SELECT wrap64((a.h # shift_right(a.h, 32))::numeric * -4658895280553007687)
                               # ('x' || encode(float8send(value), 'hex'))::bit(64)::bigint AS h) AS b
    CROSS JOIN LATERAL (SELECT wrap64((b.h # shift_right(b.h, 29))::numeric * -7723592293110705685) AS h) AS c;
END;
COMMENT ON FUNCTION sample_hash(integer, bigint, double precision, integer) IS
    'Hash of one sample, two''s complement of the 64 bits that gateways compute. time_us: microseconds since 1970 UTC; quality: high 16 bits of the StatusCode.';

CREATE FUNCTION sample_hash(tag_id integer, "time" timestamptz, value double precision, quality smallint) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sample_hash(tag_id, (extract(epoch FROM "time") * 1000000)::bigint, value, quality::integer);
COMMENT ON FUNCTION sample_hash(integer, timestamptz, double precision, smallint) IS
    'Hash of a row of samples: wrap64(sum(sample_hash(tag_id, time, value, quality))) is the checksum the ledger has.';

CREATE FUNCTION quality_name(quality integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE (quality & 49152) WHEN 0 THEN 'good' WHEN 16384 THEN 'uncertain' ELSE 'bad' END;
COMMENT ON FUNCTION quality_name IS 'good, uncertain or bad: the severity of an OPC UA StatusCode''s high 16 bits.';

CREATE FUNCTION to_time(time_us bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN time_us < -62135596800000000 THEN '-infinity'::timestamptz
            WHEN time_us > 253402300799999999 THEN 'infinity'::timestamptz
            ELSE timestamptz '1970-01-01 00:00:00+00' + make_interval(secs => (time_us / 1000000)::double precision)
                 + (time_us % 1000000) * interval '1 microsecond' END;
COMMENT ON FUNCTION to_time IS 'Timestamp of microseconds since 1970 UTC; infinite outside the years 1 to 9999.';

CREATE FUNCTION merged_stats_step(state double precision[], good bigint, mean double precision, m2 double precision) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN good IS NULL OR good = 0 THEN state
            ELSE ARRAY[state[1] + good,
                       state[2] + (mean - state[2]) * (good / (state[1] + good)),
                       state[3] + m2 + (mean - state[2]) ^ 2 * (state[1] * good / (state[1] + good))] END;
COMMENT ON FUNCTION merged_stats_step IS 'One step of merged_stats: Chan''s parallel variance.';

CREATE FUNCTION merged_stats_combine(a double precision[], b double precision[]) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN merged_stats_step(a, b[1]::bigint, b[2], b[3]);
COMMENT ON FUNCTION merged_stats_combine IS 'Merge of two states of merged_stats.';

CREATE AGGREGATE merged_stats(bigint, double precision, double precision) (
    SFUNC = merged_stats_step, STYPE = double precision[], COMBINEFUNC = merged_stats_combine, INITCOND = '{0,0,0}', PARALLEL = SAFE
);
COMMENT ON AGGREGATE merged_stats(bigint, double precision, double precision) IS
    'Merges (good, mean, m2) of windows to {good, mean, m2} of their union; m2 is the sum of squared deviations from the mean.';

CREATE TABLE verdicts (
    verdict smallint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    accepted boolean NOT NULL,
    description text NOT NULL
);
INSERT INTO verdicts VALUES
    (0, 'GOOD', true, 'Accepted.'),
    (1, 'DEGRADED_QUALITY', true, 'Accepted; the source marked it uncertain or bad. Kept, and left out of means.'),
    (2, 'DEGRADED_CLOCK', true, 'Accepted; the gateway''s clock was not synchronised.'),
    (3, 'DEGRADED_RANGE', true, 'Accepted; outside the engineering-unit range, inside the limits.'),
    (16, 'NOT_FINITE', false, 'NaN or infinite.'),
    (17, 'NOT_REPRESENTABLE', false, 'Not a value of the tag''s data type.'),
    (18, 'OUT_OF_RANGE', false, 'Beyond the tag''s limits.'),
    (19, 'RATE_OF_CHANGE', false, 'Changed faster since the last accepted sample than the tag can.'),
    (20, 'STUCK', false, 'Bit-identical for longer than the tag can be.'),
    (21, 'FUTURE', false, 'Source time later than the frame''s close time by more than the allowed skew.'),
    (22, 'TOO_OLD', false, 'Source time older than the retention of raw samples.'),
    (23, 'UNKNOWN_TAG', false, 'No such tag in the registry, or it is retired.'),
    (24, 'GATEWAY_NOT_AUTHORISED', false, 'The tag belongs to another gateway.');
COMMENT ON TABLE verdicts IS 'What validation can decide of a sample; the numbers are those of schemas.verdicts.';
COMMENT ON COLUMN verdicts.verdict IS 'Number, as in samples and the ledger.';
COMMENT ON COLUMN verdicts.name IS 'Name.';
COMMENT ON COLUMN verdicts.accepted IS 'Whether a sample with it is stored.';
COMMENT ON COLUMN verdicts.description IS 'What it means.';

CREATE TABLE storage_settings (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    timescaledb boolean NOT NULL,
    samples_partition interval NOT NULL DEFAULT '1 hour',
    aggregates_partition interval NOT NULL DEFAULT '1 day'
);
COMMENT ON TABLE storage_settings IS 'How this database stores telemetry; decided by the first migration.';
COMMENT ON COLUMN storage_settings.only_row IS 'Always true: keeps the table at one row.';
COMMENT ON COLUMN storage_settings.timescaledb IS 'True: hypertables of TimescaleDB. False: native partitions.';
COMMENT ON COLUMN storage_settings.samples_partition IS 'Length of a native partition of samples. Changes apply to partitions made later.';
COMMENT ON COLUMN storage_settings.aggregates_partition IS 'Length of a native partition of aggregates. Changes apply to partitions made later.';
INSERT INTO storage_settings (timescaledb) SELECT count(*) > 0 FROM pg_extension WHERE extname = 'timescaledb';
