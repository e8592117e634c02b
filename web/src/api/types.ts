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
  allow: string[];
  csrf: string;
}
