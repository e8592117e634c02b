-- What the historian keeps besides samples: refused data, last values, episodes, events, health, commands.

CREATE TABLE rejects (
    identity text PRIMARY KEY,
    reason text NOT NULL,
    detail text NOT NULL,
    rejected_at timestamptz NOT NULL,
    source_topic text NOT NULL,
    source_partition integer NOT NULL,
    source_offset bigint NOT NULL,
    gateway_id text,
    epoch uuid,
    lane integer,
    stream smallint,
    sequence bigint,
    samples integer NOT NULL,
    positions integer[],
    tag_ids integer[],
    times_us bigint[],
    "values" double precision[],
    qualities integer[],
    original bytea
);
CREATE INDEX rejects_rejected_at ON rejects (rejected_at);
COMMENT ON TABLE rejects IS 'What was refused: samples of one frame for one reason, or one whole record. People read the view rejected.';
COMMENT ON COLUMN rejects.identity IS 'Frame and reason, or topic, partition, offset and reason: the same refusal has the same identity.';
COMMENT ON COLUMN rejects.reason IS 'Name of the verdict or of the reason to refuse the record.';
COMMENT ON COLUMN rejects.detail IS 'What was wrong, with the numbers.';
COMMENT ON COLUMN rejects.rejected_at IS 'When it was refused.';
COMMENT ON COLUMN rejects.source_topic IS 'Topic the record was read from.';
COMMENT ON COLUMN rejects.source_partition IS 'Its partition.';
COMMENT ON COLUMN rejects.source_offset IS 'Its offset.';
COMMENT ON COLUMN rejects.gateway_id IS 'Identity of the frame, when it could be read: gateway.';
COMMENT ON COLUMN rejects.epoch IS 'Identity of the frame: epoch.';
COMMENT ON COLUMN rejects.lane IS 'Identity of the frame: lane.';
COMMENT ON COLUMN rejects.stream IS 'Identity of the frame: 0 LIVE, 1 BACKFILL, 2 REPLAY.';
COMMENT ON COLUMN rejects.sequence IS 'Identity of the frame: sequence.';
COMMENT ON COLUMN rejects.samples IS 'Refused samples; 0 when the record could not be decoded.';
COMMENT ON COLUMN rejects.positions IS 'Position of each refused sample in the frame.';
COMMENT ON COLUMN rejects.tag_ids IS 'Tag of each refused sample.';
COMMENT ON COLUMN rejects.times_us IS 'Source time of each refused sample, microseconds since 1970 UTC.';
COMMENT ON COLUMN rejects."values" IS 'Value of each refused sample, bit-identical to what was sent.';
COMMENT ON COLUMN rejects.qualities IS 'Quality of each refused sample.';
COMMENT ON COLUMN rejects.original IS 'The whole record as it was read, when it was refused as a whole.';

CREATE TABLE lane_latest (
    gateway_id text NOT NULL,
    lane integer NOT NULL,
    closed_time timestamptz NOT NULL,
    tag_ids integer[] NOT NULL,
    times_us bigint[] NOT NULL,
    "values" double precision[] NOT NULL,
    qualities integer[] NOT NULL,
    PRIMARY KEY (gateway_id, lane)
) WITH (fillfactor = 50);
COMMENT ON TABLE lane_latest IS 'Last value of every tag of a lane. People read the view latest.';
COMMENT ON COLUMN lane_latest.gateway_id IS 'Gateway.';
COMMENT ON COLUMN lane_latest.lane IS 'Lane.';
COMMENT ON COLUMN lane_latest.closed_time IS 'Close time of the newest frame in it; a newer one replaces the row.';
COMMENT ON COLUMN lane_latest.tag_ids IS 'Tags.';
COMMENT ON COLUMN lane_latest.times_us IS 'Source time of each, microseconds since 1970 UTC.';
COMMENT ON COLUMN lane_latest."values" IS 'Value of each.';
COMMENT ON COLUMN lane_latest.qualities IS 'Quality of each.';

CREATE TABLE lane_progress (
    gateway_id text NOT NULL,
    lane integer NOT NULL,
    counted_at timestamptz NOT NULL,
    frames bigint NOT NULL,
    samples bigint NOT NULL,
    duplicate_frames bigint NOT NULL,
    duplicate_samples bigint NOT NULL,
    identity_conflicts bigint NOT NULL,
    held_samples bigint NOT NULL,
    held jsonb NOT NULL,
    PRIMARY KEY (gateway_id, lane)
) WITH (fillfactor = 50);
COMMENT ON TABLE lane_progress IS 'What the telemetry job counted of each lane, newest report.';
COMMENT ON COLUMN lane_progress.gateway_id IS 'Gateway.';
COMMENT ON COLUMN lane_progress.lane IS 'Lane.';
COMMENT ON COLUMN lane_progress.counted_at IS 'When it was counted.';
COMMENT ON COLUMN lane_progress.frames IS 'Distinct frames judged.';
COMMENT ON COLUMN lane_progress.samples IS 'Samples in them.';
COMMENT ON COLUMN lane_progress.duplicate_frames IS 'Frames that came again.';
COMMENT ON COLUMN lane_progress.duplicate_samples IS 'Samples in those.';
COMMENT ON COLUMN lane_progress.identity_conflicts IS 'Frames that came again with other content.';
COMMENT ON COLUMN lane_progress.held_samples IS 'Samples in frames that wait for a newer registry.';
COMMENT ON COLUMN lane_progress.held IS 'Those frames: epoch, stream, sequence, samples.';

CREATE TABLE anomalies (
    episode_id uuid PRIMARY KEY,
    device_id integer NOT NULL,
    phase text NOT NULL,
    revision integer NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    score double precision NOT NULL,
    peak_score double precision NOT NULL,
    threshold double precision NOT NULL,
    contributors jsonb NOT NULL,
    detector text NOT NULL,
    detector_version integer NOT NULL
);
CREATE INDEX anomalies_device ON anomalies (device_id, start_time);
COMMENT ON TABLE anomalies IS 'Anomaly episodes, each at its newest revision. People read the view anomaly.';
COMMENT ON COLUMN anomalies.episode_id IS 'Episode.';
COMMENT ON COLUMN anomalies.device_id IS 'Device.';
COMMENT ON COLUMN anomalies.phase IS 'OPEN, UPDATE or CLOSE.';
COMMENT ON COLUMN anomalies.revision IS 'Grows with each step; the highest wins.';
COMMENT ON COLUMN anomalies.start_time IS 'First anomalous moment.';
COMMENT ON COLUMN anomalies.end_time IS 'Last anomalous moment, once closed.';
COMMENT ON COLUMN anomalies.score IS 'Score in [0, 1] at this step.';
COMMENT ON COLUMN anomalies.peak_score IS 'Highest score so far.';
COMMENT ON COLUMN anomalies.threshold IS 'Score at which it opened.';
COMMENT ON COLUMN anomalies.contributors IS 'Tags that explain the score, strongest first: tag_id, score, value, expected_low, expected_high.';
COMMENT ON COLUMN anomalies.detector IS 'Detector.';
COMMENT ON COLUMN anomalies.detector_version IS 'Version of the detector.';

CREATE TABLE device_events (
    event_id uuid PRIMARY KEY,
    kind text NOT NULL,
    gateway_id text NOT NULL,
    device_id integer NOT NULL,
    time timestamptz NOT NULL,
    text text NOT NULL,
    attributes jsonb NOT NULL,
    gap jsonb
);
CREATE INDEX device_events_device ON device_events (device_id, time);
CREATE INDEX device_events_time ON device_events (time);
COMMENT ON TABLE device_events IS 'Births, deaths, states, strings, proposals, refusals and gaps. Gateway health is in gateway_health.';
COMMENT ON COLUMN device_events.event_id IS 'Event.';
COMMENT ON COLUMN device_events.kind IS 'BIRTH, DEATH, STATE, STRING, PROPOSAL, REFUSED or GAP.';
COMMENT ON COLUMN device_events.gateway_id IS 'Gateway that saw it.';
COMMENT ON COLUMN device_events.device_id IS 'Device; 0 for the gateway itself.';
COMMENT ON COLUMN device_events.time IS 'Source time.';
COMMENT ON COLUMN device_events.text IS 'For people.';
COMMENT ON COLUMN device_events.attributes IS 'Named details.';
COMMENT ON COLUMN device_events.gap IS 'For GAP: lane, epoch, stream, first and last sequence, samples, range of time, cause.';

CREATE TABLE gateway_health (
    gateway_id text NOT NULL,
    epoch uuid NOT NULL,
    lane integer NOT NULL,
    stream smallint NOT NULL,
    time timestamptz NOT NULL,
    next_sequence bigint NOT NULL,
    produced_samples bigint NOT NULL,
    produced_checksum bigint NOT NULL,
    delivered_sequence bigint NOT NULL,
    buffered_samples bigint NOT NULL,
    dropped_samples bigint NOT NULL,
    PRIMARY KEY (gateway_id, epoch, lane, stream)
) WITH (fillfactor = 50);
COMMENT ON TABLE gateway_health IS 'Counters of each sequence at its gateway, newest report.';
COMMENT ON COLUMN gateway_health.gateway_id IS 'Gateway.';
COMMENT ON COLUMN gateway_health.epoch IS 'Life of its buffer.';
COMMENT ON COLUMN gateway_health.lane IS 'Lane.';
COMMENT ON COLUMN gateway_health.stream IS '0 LIVE, 1 BACKFILL, 2 REPLAY.';
COMMENT ON COLUMN gateway_health.time IS 'When it was counted, gateway clock.';
COMMENT ON COLUMN gateway_health.next_sequence IS 'Frames appended so far.';
COMMENT ON COLUMN gateway_health.produced_samples IS 'Samples durably appended so far.';
COMMENT ON COLUMN gateway_health.produced_checksum IS 'Checksum of those samples, two''s complement.';
COMMENT ON COLUMN gateway_health.delivered_sequence IS 'All frames below this are acknowledged by Kafka.';
COMMENT ON COLUMN gateway_health.buffered_samples IS 'Samples appended and not yet acknowledged.';
COMMENT ON COLUMN gateway_health.dropped_samples IS 'Samples dropped from the buffer, each covered by a gap event.';

CREATE TABLE gateway_status (
    gateway_id text PRIMARY KEY,
    time timestamptz NOT NULL,
    text text NOT NULL,
    attributes jsonb NOT NULL
);
COMMENT ON TABLE gateway_status IS 'Newest health report of each gateway.';
COMMENT ON COLUMN gateway_status.gateway_id IS 'Gateway.';
COMMENT ON COLUMN gateway_status.time IS 'Time of the report.';
COMMENT ON COLUMN gateway_status.text IS 'For people.';
COMMENT ON COLUMN gateway_status.attributes IS 'Named details, such as the number of samples under the deadband.';

CREATE TABLE commands (
    command_id uuid NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    device_id integer NOT NULL,
    gateway_id text NOT NULL,
    site text NOT NULL,
    name text NOT NULL,
    parameters jsonb NOT NULL,
    submitted_by text NOT NULL,
    submitted_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    attempt integer NOT NULL,
    detail text NOT NULL,
    readback jsonb NOT NULL,
    late_acks integer NOT NULL,
    duplicate_acks integer NOT NULL,
    PRIMARY KEY (command_id, version)
);
CREATE INDEX commands_device ON commands (device_id, submitted_at);
CREATE INDEX commands_submitted ON commands (submitted_at);
COMMENT ON TABLE commands IS 'Every transition of every command. People read the view command.';
COMMENT ON COLUMN commands.command_id IS 'Command.';
COMMENT ON COLUMN commands.version IS 'Number of the transition; the highest is where the command stands.';
COMMENT ON COLUMN commands.state IS 'State after the transition.';
COMMENT ON COLUMN commands.device_id IS 'Device.';
COMMENT ON COLUMN commands.gateway_id IS 'Gateway.';
COMMENT ON COLUMN commands.site IS 'Site.';
COMMENT ON COLUMN commands.name IS 'Name of the command.';
COMMENT ON COLUMN commands.parameters IS 'As requested.';
COMMENT ON COLUMN commands.submitted_by IS 'Principal.';
COMMENT ON COLUMN commands.submitted_at IS 'When it was submitted.';
COMMENT ON COLUMN commands.expires_at IS 'When it expires.';
COMMENT ON COLUMN commands.updated_at IS 'Time of the transition.';
COMMENT ON COLUMN commands.attempt IS 'Highest attempt seen.';
COMMENT ON COLUMN commands.detail IS 'For people.';
COMMENT ON COLUMN commands.readback IS 'Values read back.';
COMMENT ON COLUMN commands.late_acks IS 'Acks after an outcome.';
COMMENT ON COLUMN commands.duplicate_acks IS 'Acks seen again.';
