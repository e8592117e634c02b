// What a plant's work is made of, as the server sends it: OEE, states, stops, orders. Times are microseconds since 1970 UTC.
import type { Maybe } from "./types";

export interface Oee {
  /** Of the group; empty for the whole scope. */
  path: string;
  shift: string;
  /** ISO 8601; empty without a calendar. */
  shift_day: string;
  start_us?: Maybe<number>;
  pbt_s: number;
  apt_s: number;
  /** Planned run time of what was made. */
  ideal_s?: Maybe<number>;
  pq: number;
  gq: number;
  availability?: Maybe<number>;
  effectiveness?: Maybe<number>;
  quality?: Maybe<number>;
  oee?: Maybe<number>;
  unknown_s: number;
  /** Good pieces made outside planned busy time. */
  unplanned_gq: number;
  job_order: string;
}

export interface StateInterval {
  device_id: number;
  device_path: string;
  packml_state: string;
  start_us: number;
  end_us: number;
}

export interface Downtime {
  device_path: string;
  start_us: number;
  end_us: number;
  /** Empty where nobody knows it. */
  packml_state: string;
  reason: string;
  planned: boolean;
  /** Empty for the automatic reason of a state. */
  entered_by: string;
}

export interface Reason {
  reason: string;
  description: string;
  planned: boolean;
}

export interface JobResponse {
  device_path: string;
  start_us: number;
  end_us?: Maybe<number>;
}

export type OrderStatus = "PLANNED" | "RELEASED" | "RUNNING" | "COMPLETED" | "CANCELLED";

export interface JobOrder {
  job_order: string;
  material: string;
  quantity: number;
  unit: string;
  scope: string;
  status: OrderStatus;
  priority: number;
  planned_start_us: number;
  planned_end_us: number;
  responses: JobResponse[];
}
