-- What people say of anomaly episodes: "not a fault", "was a fault", and what was taken back.

CREATE TABLE anomaly_labels (
    label_id uuid PRIMARY KEY,
    episode_id uuid NOT NULL,
    device_id integer NOT NULL,
    verdict text NOT NULL,
    labelled_by text NOT NULL,
    labelled_at timestamptz NOT NULL,
    reason text NOT NULL,
    detector text NOT NULL,
    peak_score double precision NOT NULL,
    pattern jsonb NOT NULL,
    withdrawn_at timestamptz,
    withdrawn_by text NOT NULL,
    withdrawn_reason text NOT NULL
);
CREATE INDEX anomaly_labels_episode ON anomaly_labels (episode_id);
COMMENT ON TABLE anomaly_labels IS 'Labels of anomaly episodes, withdrawn ones too. People read the views anomaly and anomaly_label.';
COMMENT ON COLUMN anomaly_labels.label_id IS 'Label.';
COMMENT ON COLUMN anomaly_labels.episode_id IS 'Episode that it is about.';
COMMENT ON COLUMN anomaly_labels.device_id IS 'Device of the episode.';
COMMENT ON COLUMN anomaly_labels.verdict IS 'NOT_A_FAULT or FAULT.';
COMMENT ON COLUMN anomaly_labels.labelled_by IS 'Who says so.';
COMMENT ON COLUMN anomaly_labels.labelled_at IS 'When; detection minds it for windows that end later.';
COMMENT ON COLUMN anomaly_labels.reason IS 'Why.';
COMMENT ON COLUMN anomaly_labels.detector IS 'Detector of the episode.';
COMMENT ON COLUMN anomaly_labels.peak_score IS 'Highest score of the episode when it was labelled.';
COMMENT ON COLUMN anomaly_labels.pattern IS 'What is remembered: tag_id, statistic, direction (1 above what was expected, -1 below, 0 of no meaning).';
COMMENT ON COLUMN anomaly_labels.withdrawn_at IS 'When it was withdrawn; null while it stands.';
COMMENT ON COLUMN anomaly_labels.withdrawn_by IS 'Who withdrew it.';
COMMENT ON COLUMN anomaly_labels.withdrawn_reason IS 'Why it was withdrawn.';

CREATE VIEW anomaly_label AS
SELECT l.labelled_at, d.path AS device_path, l.verdict, l.labelled_by, l.reason, l.withdrawn_at, l.withdrawn_by, l.withdrawn_reason,
       l.peak_score, l.detector, l.pattern, l.device_id, l.episode_id, l.label_id
FROM anomaly_labels l
LEFT JOIN device_paths d ON d.device_id = l.device_id AND l.labelled_at >= d.valid_from AND l.labelled_at < d.valid_to;
COMMENT ON VIEW anomaly_label IS 'What people said of anomaly episodes, one row each, withdrawn ones too.';
COMMENT ON COLUMN anomaly_label.labelled_at IS 'When.';
COMMENT ON COLUMN anomaly_label.device_path IS 'Path of the device then.';
COMMENT ON COLUMN anomaly_label.verdict IS 'NOT_A_FAULT or FAULT.';
COMMENT ON COLUMN anomaly_label.labelled_by IS 'Who.';
COMMENT ON COLUMN anomaly_label.reason IS 'Why.';
COMMENT ON COLUMN anomaly_label.withdrawn_at IS 'When it was withdrawn; null while it stands.';
COMMENT ON COLUMN anomaly_label.withdrawn_by IS 'Who withdrew it.';
COMMENT ON COLUMN anomaly_label.withdrawn_reason IS 'Why it was withdrawn.';
COMMENT ON COLUMN anomaly_label.peak_score IS 'Highest score of the episode when it was labelled.';
COMMENT ON COLUMN anomaly_label.detector IS 'Detector.';
COMMENT ON COLUMN anomaly_label.pattern IS 'What is remembered: tag_id, statistic, direction.';
COMMENT ON COLUMN anomaly_label.device_id IS 'Device.';
COMMENT ON COLUMN anomaly_label.episode_id IS 'Episode.';
COMMENT ON COLUMN anomaly_label.label_id IS 'Label.';

CREATE OR REPLACE VIEW anomaly AS
SELECT a.start_time, a.end_time, d.path AS device_path, a.phase, a.score, a.peak_score, a.threshold, c.paths AS contributors, a.detector,
       a.detector_version, a.contributors AS contributor_details, a.device_id, a.episode_id, a.revision,
       a.contributors -> 0 ->> 'statistic' AS statistic, l.verdict AS label, l.labelled_by, l.reason AS label_reason
FROM anomalies a
LEFT JOIN device_paths d ON d.device_id = a.device_id AND a.start_time >= d.valid_from AND a.start_time < d.valid_to
LEFT JOIN LATERAL (
    SELECT array_agg(p.path ORDER BY x.place) AS paths
    FROM jsonb_array_elements(a.contributors) WITH ORDINALITY AS x(item, place)
    JOIN tag_periods p ON p.tag_id = (x.item ->> 'tag_id')::integer AND a.start_time >= p.valid_from AND a.start_time < p.valid_to
) c ON true
LEFT JOIN LATERAL (
    SELECT s.verdict, s.labelled_by, s.reason FROM anomaly_labels s
    WHERE s.episode_id = a.episode_id AND s.withdrawn_at IS NULL ORDER BY s.labelled_at DESC, s.label_id DESC LIMIT 1
) l ON true;
COMMENT ON COLUMN anomaly.label IS 'What people say of it: NOT_A_FAULT or FAULT; null when nobody said anything that stands.';
COMMENT ON COLUMN anomaly.labelled_by IS 'Who says so.';
COMMENT ON COLUMN anomaly.label_reason IS 'Why.';

GRANT SELECT ON anomaly_labels, anomaly_label TO millrace_reader;
GRANT SELECT, INSERT, UPDATE ON anomaly_labels TO millrace_writer;
