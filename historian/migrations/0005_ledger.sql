-- The ledger: what of each lane is stored, rejected or suppressed. One row per sequence, so a few rows per gateway.

CREATE TABLE ledger (
    gateway_id text NOT NULL,
    epoch uuid NOT NULL,
    lane integer NOT NULL,
    stream smallint NOT NULL CHECK (stream BETWEEN 0 AND 2),
    sequences int8multirange NOT NULL DEFAULT '{}',
    frames bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    suppressed bigint NOT NULL DEFAULT 0,
    late bigint NOT NULL DEFAULT 0,
    stored_checksum bigint NOT NULL DEFAULT 0,
    rejected_checksum bigint NOT NULL DEFAULT 0,
    suppressed_checksum bigint NOT NULL DEFAULT 0,
    verdict_counts bigint[] NOT NULL DEFAULT '{}',
    newest_time timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway_id, epoch, lane, stream)
) WITH (fillfactor = 50);
COMMENT ON TABLE ledger IS 'What has been stored of each sequence of frames. A frame is counted and stored in one transaction, once.';
COMMENT ON COLUMN ledger.gateway_id IS 'Gateway.';
COMMENT ON COLUMN ledger.epoch IS 'Life of the gateway''s buffer.';
COMMENT ON COLUMN ledger.lane IS 'Lane.';
COMMENT ON COLUMN ledger.stream IS '0 LIVE, 1 BACKFILL, 2 REPLAY.';
COMMENT ON COLUMN ledger.sequences IS 'Sequences of the frames that are in; the holes are missing.';
COMMENT ON COLUMN ledger.frames IS 'Number of frames that are in.';
COMMENT ON COLUMN ledger.stored IS 'Samples stored.';
COMMENT ON COLUMN ledger.rejected IS 'Samples with a rejecting verdict.';
COMMENT ON COLUMN ledger.suppressed IS 'Accepted samples that the historise policy of their tag leaves out.';
COMMENT ON COLUMN ledger.late IS 'Accepted samples too late for the windows of the stream.';
COMMENT ON COLUMN ledger.stored_checksum IS 'Checksum of the stored samples, two''s complement.';
COMMENT ON COLUMN ledger.rejected_checksum IS 'Checksum of the rejected samples.';
COMMENT ON COLUMN ledger.suppressed_checksum IS 'Checksum of the suppressed samples.';
COMMENT ON COLUMN ledger.verdict_counts IS 'Samples by verdict: element v + 1 counts verdict v.';
COMMENT ON COLUMN ledger.newest_time IS 'Newest source time of an accepted sample.';
COMMENT ON COLUMN ledger.updated_at IS 'Last change.';

CREATE TABLE ledger_minute (
    gateway_id text NOT NULL,
    lane integer NOT NULL,
    minute timestamptz NOT NULL,
    stored bigint NOT NULL,
    rejected bigint NOT NULL,
    suppressed bigint NOT NULL,
    stored_checksum bigint NOT NULL,
    rejected_checksum bigint NOT NULL,
    suppressed_checksum bigint NOT NULL,
    PRIMARY KEY (gateway_id, lane, minute)
) WITH (fillfactor = 50);
CREATE INDEX ledger_minute_minute ON ledger_minute (minute);
COMMENT ON TABLE ledger_minute IS 'The ledger by minute, to find where something is missing.';
COMMENT ON COLUMN ledger_minute.gateway_id IS 'Gateway.';
COMMENT ON COLUMN ledger_minute.lane IS 'Lane.';
COMMENT ON COLUMN ledger_minute.minute IS 'Minute of the source time; of the frame''s close time for rejected samples, whose own time may be nonsense.';
COMMENT ON COLUMN ledger_minute.stored IS 'Samples stored.';
COMMENT ON COLUMN ledger_minute.rejected IS 'Samples rejected.';
COMMENT ON COLUMN ledger_minute.suppressed IS 'Samples suppressed.';
COMMENT ON COLUMN ledger_minute.stored_checksum IS 'Checksum of the stored samples; equals wrap64(sum(sample_hash(...))) over samples, summed over lanes.';
COMMENT ON COLUMN ledger_minute.rejected_checksum IS 'Checksum of the rejected samples.';
COMMENT ON COLUMN ledger_minute.suppressed_checksum IS 'Checksum of the suppressed samples.';

CREATE TABLE on_change_state (
    gateway_id text NOT NULL,
    lane integer NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (gateway_id, lane)
);
COMMENT ON TABLE on_change_state IS 'Last sample of each ON_CHANGE tag of a lane, to recognise repeats.';
COMMENT ON COLUMN on_change_state.gateway_id IS 'Gateway.';
COMMENT ON COLUMN on_change_state.lane IS 'Lane.';
COMMENT ON COLUMN on_change_state.state IS 'Packed rows of tag, time, value and quality; see connectors.timescale.on_change.';

CREATE TABLE dirty_ranges (
    dirty_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tag_id integer NOT NULL,
    from_time timestamptz NOT NULL,
    to_time timestamptz NOT NULL,
    reason text NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dirty_ranges IS 'Queue of the repair: windows of a tag that the stream did not fold completely.';
COMMENT ON COLUMN dirty_ranges.dirty_id IS 'Order of arrival.';
COMMENT ON COLUMN dirty_ranges.tag_id IS 'Tag.';
COMMENT ON COLUMN dirty_ranges.from_time IS 'Start, inclusive.';
COMMENT ON COLUMN dirty_ranges.to_time IS 'End, inclusive.';
COMMENT ON COLUMN dirty_ranges.reason IS 'BACKFILL, REPLAY, LATE or CONTESTED.';
COMMENT ON COLUMN dirty_ranges.marked_at IS 'When it was marked.';
