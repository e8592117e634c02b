// What the server sends, by the names of schemas/proto/millrace/v1. Times are microseconds since 1970 UTC. What is not there is absent or null.
export type Maybe<T> = T | null | undefined;

export type QualityName = "UNSPECIFIED" | "GOOD" | "UNCERTAIN" | "BAD";

export interface Value {
  /** In the tag's unit; null when it is not finite. */
  value: number | null;
  time_us: number;
  quality: QualityName;
  /** High 16 bits of the OPC UA StatusCode. */
  quality_code: number;
}

export interface Tag {
  tag_id: number;
  device_id: number;
  path: string;
  name: string;
  description: string;
  unit: string;
  data_type: string;
  eu_low?: Maybe<number>;
  eu_high?: Maybe<number>;
  limit_low?: Maybe<number>;
  limit_high?: Maybe<number>;
  writable: boolean;
  period_ms: number;
  stale: boolean;
  device_path: string;
  /** CEL, of a calculated tag; empty for a measured one. */
  expression: string;
  last?: Maybe<Value>;
}

export type DeviceState = "UNSPECIFIED" | "ONLINE" | "OFFLINE" | "UNKNOWN";

export interface Parameter {
  name: string;
  description: string;
  data_type: string;
  unit: string;
  low?: Maybe<number>;
  high?: Maybe<number>;
}

export interface CommandDescription {
  name: string;
  description: string;
  parameters: Parameter[];
}

export interface Device {
  device_id: number;
  path: string;
  device_class: string;
  site: string;
  gateway_id: string;
  tags: Tag[];
  commands: CommandDescription[];
  state: DeviceState;
  packml_state: string;
  open_anomalies: number;
}

export interface PlantNode {
  path: string;
  name: string;
  level: string;
  device_id: number;
  device_class: string;
  devices: number;
  devices_offline: number;
  tags: number;
  tags_bad: number;
  open_anomalies: number;
  packml_states: Record<string, number>;
}

export interface TagUpdate {
  tag_id: number;
  path?: string;
  value: Value;
}

export interface TagBatch {
  updates: TagUpdate[];
  snapshot_complete: boolean;
  sequence: number;
  position: string;
  sent_us: number;
  interval_ms: number;
  notice: string;
}

export interface Contributor {
  tag_id: number;
  path: string;
  score: number;
  value: number | null;
  expected_low?: Maybe<number>;
  expected_high?: Maybe<number>;
  statistic?: string;
  /** Of a forecast: what will be reached, and when; `latest_us` is absent when there is no telling. */
  limit?: Maybe<number>;
  limit_us?: Maybe<number>;
  earliest_us?: Maybe<number>;
  latest_us?: Maybe<number>;
}

export type AnomalyVerdict = "NOT_A_FAULT" | "FAULT";

/** What somebody said of an episode; `withdrawn_us`: absent while it stands. */
export interface AnomalyLabel {
  label_id: string;
  verdict: AnomalyVerdict;
  by: string;
  time_us: number;
  reason: string;
  withdrawn_us?: Maybe<number>;
  withdrawn_by: string;
  withdrawn_reason: string;
}

export interface Anomaly {
  episode_id: string;
  device_id: number;
  device_path: string;
  phase: "OPEN" | "UPDATE" | "CLOSE";
  start_us: number;
  end_us?: Maybe<number>;
  score: number;
  peak_score: number;
  threshold: number;
  contributors: Contributor[];
  detector: string;
  detector_version: number;
  labels?: AnomalyLabel[];
}

export type CommandState =
  | "PENDING_APPROVAL"
  | "ACCEPTED"
  | "DELIVERED"
  | "EXECUTING"
  | "SUCCEEDED"
  | "FAILED"
  | "REJECTED"
  | "EXPIRED"
  | "CANCELLED"
  | "UNKNOWN";

export interface Outcome {
  name: string;
  effect: "UNSPECIFIED" | "APPLIED" | "REFUSED" | "NOT_SENT" | "UNKNOWN";
  readback?: Maybe<number>;
  detail: string;
}

export interface Command {
  command_id: string;
  state: CommandState;
  version: number;
  device_id: number;
  device_path: string;
  name: string;
  parameters: Record<string, number>;
  submitted_by: string;
  submitted_us: number;
  expires_us: number;
  updated_us: number;
  detail: string;
  readback: Record<string, number>;
  provisional: boolean;
  outcomes: Outcome[];
  reason: string;
  approved_by: string;
  late_acks: number;
  duplicate_acks: number;
}

export interface PlantEvent {
  event_id: string;
  kind: string;
  gateway_id: string;
  device_id: number;
  device_path: string;
  time_us: number;
  text: string;
  attributes: Record<string, string>;
}

export interface Reject {
  rejected_us: number;
  reason: string;
  detail: string;
  tag_id: number;
  path: string;
  time_us?: Maybe<number>;
  value?: Maybe<number>;
  gateway_id: string;
}

export interface RejectCount {
  reason: string;
  device_path: string;
  count: number;
}

export type GatewayState = "UNSPECIFIED" | "ONLINE" | "DEGRADED" | "SILENT";

export interface Gateway {
  gateway_id: string;
  site: string;
  state: GatewayState;
  reported_us: number;
  connections: { name: string; connected: boolean; detail: string }[];
  dead_device_ids: number[];
  buffered_bytes: number;
  buffered_samples: number;
  attributes: Record<string, string>;
}

export type HealthName = "UNSPECIFIED" | "OK" | "DEGRADED" | "DOWN" | "UNKNOWN";

export interface LineHealth {
  health: HealthName;
  stages: { name: string; health: HealthName; detail: string; advanced_us: number }[];
  observed_us: number;
}

export interface LaneAccount {
  gateway_id: string;
  lane: number;
  produced: number;
  stored: number;
  rejected: number;
  suppressed: number;
  held: number;
  in_flight: number;
  dropped: number;
  missing: number;
  calculated: number;
}

export interface Accounting {
  lanes: LaneAccount[];
  exact: boolean;
  not_measured: string[];
  observed_us: number;
}

export interface ChartSeries {
  tag_id: number;
  path: string;
  unit: string;
  /** "samples" or "windows". */
  source: string;
  window_s: number;
  time_us: number[];
  value: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  quality: number[];
  repaired: (number | boolean)[];
}

export interface Me {
  name: string;
  /** What people call who is signed in. */
  shown: string;
  allow: string[];
  csrf: string;
}

export type PriorityName = "CRITICAL" | "HIGH" | "MEDIUM" | "LOW";
export type AlarmStateName =
  | "NORMAL"
  | "UNACKNOWLEDGED"
  | "ACKNOWLEDGED"
  | "RETURNED_UNACKNOWLEDGED"
  | "SHELVED"
  | "SUPPRESSED"
  | "OUT_OF_SERVICE";

export interface AlarmOverride {
  kind: "LATCHED" | "SHELVED" | "SUPPRESSED" | "OUT_OF_SERVICE";
  since_us: number;
  by: string;
  reason: string;
  until_us: Maybe<number>;
}

export interface Alarm {
  alarm_id: string;
  source_id: string;
  version: number;
  rule: string;
  device_id: number;
  device_path: string;
  gateway_id: string;
  tag_id: Maybe<number>;
  path: string;
  priority: PriorityName;
  state: AlarmStateName;
  active: boolean;
  start_us: Maybe<number>;
  activated_us: Maybe<number>;
  returned_us: Maybe<number>;
  acknowledged_us: Maybe<number>;
  acknowledged_by: string;
  activations: number;
  overrides: AlarmOverride[];
  value: Maybe<number>;
  unit: string;
  detail: string;
  cause_alarm_id: Maybe<string>;
  first_out: boolean;
  chattering: boolean;
  fleeting: boolean;
  late: boolean;
  title: string;
  cause: string;
  consequence: string;
  corrective_action: string;
  comment: string;
  updated_us: number;
  condition: string;
  at_machine: Maybe<AtMachine>;
}

/** What the machine of a condition knows of the acknowledgement. */
export interface AtMachine {
  state: "PENDING" | "ACKNOWLEDGED" | "FAILED" | "UNKNOWN";
  detail: string;
  command_id: Maybe<string>;
}

export interface AlarmEvent {
  event_id: string;
  kind: string;
  state: AlarmStateName;
  time_us: number;
  by: string;
  reason: string;
  detail: string;
  until_us: Maybe<number>;
}

export interface AlarmCount {
  priority: PriorityName;
  count: number;
}

export interface AlarmCounts {
  unacknowledged: AlarmCount[];
  standing: AlarmCount[];
  shelved: number;
  suppressed: number;
  out_of_service: number;
  not_kept: number;
}

export interface AlarmEvaluation {
  state: "RUNNING" | "STALLED" | "UNKNOWN" | "PARTIAL";
  detail: string;
  advanced_us: number;
}

export interface AlarmScopeFigures {
  scope: string;
  alarms: number;
  per_10_min: number;
  peak_10_min: number;
  flood_share: number;
  by_priority: AlarmCount[];
  acknowledged: number;
  time_to_acknowledge_s: Maybe<number>;
  verdict: string;
}

export interface AlarmRate {
  start_us: number;
  alarms: number;
  most: number;
}

export interface AlarmSourceFigures {
  path: string;
  rule: string;
  title: string;
  alarms: number;
  share: number;
  chattering: number;
}

export interface StaleAlarm {
  alarm_id: string;
  path: string;
  rule: string;
  title: string;
  priority: PriorityName;
  since_us: number;
}

export interface AlarmFigures {
  start_us: number;
  end_us: number;
  scopes: AlarmScopeFigures[];
  rates: AlarmRate[];
  top: AlarmSourceFigures[];
  chattering: AlarmSourceFigures[];
  stale: StaleAlarm[];
  counts: AlarmCounts;
  evaluation: AlarmEvaluation;
}

/** One time that an alarm was raised. */
export interface AlarmActivation {
  alarm_id: string;
  title: string;
  rule: string;
  priority: PriorityName;
  path: string;
  device_id: number;
  gateway_id: string;
  raised_us: number;
  returned_us: Maybe<number>;
  acknowledged_us: Maybe<number>;
  acknowledged_by: string;
  detail: string;
}

export interface AlarmLine {
  text: string;
  head: Alarm;
  priority: PriorityName;
  alarms: number;
  places: number;
  unacknowledged_ids: string[];
  unacknowledged_activations: number[];
  rules: string[];
}

export interface AlarmAnswer {
  alarm_id: string;
  outcome: "DONE" | "REFUSED" | "RECORDED" | "NOT_FOUND" | "DENIED" | "FAILED";
  detail: string;
  alarm: Maybe<Alarm>;
}
