// What is abnormal: one rule for every place that shows a value, a machine or a command.
import type { Command, CommandState, HealthName, Tag, Value } from "../api/types";

export type Level = "none" | "warn" | "alarm" | "stale";

export function levelOf(tag: Tag, value: Value | undefined): Level {
  if (!value) return "none";
  if (isStale(tag, value)) return "stale";
  if (value.quality === "BAD") return "alarm";
  if (value.value === null) return "alarm";
  if (below(value.value, tag.limit_low) || above(value.value, tag.limit_high)) return "alarm";
  if (value.quality === "UNCERTAIN" || outside(tag, value.value)) return "warn";
  return "none";
}

const NO_COMMUNICATION = 0x8031;

/** The machine is dead or its gateway silent: by the quality that the server gives such values, or as the list of tags said of this very value. */
export function isStale(tag: Tag, value: Value): boolean {
  return value.quality_code === NO_COMMUNICATION || (tag.stale && tag.last?.time_us === value.time_us);
}

export function outside(tag: Tag, value: number): boolean {
  return below(value, tag.eu_low) || above(value, tag.eu_high);
}

/** Why a value is abnormal, as a key of the texts; empty when it is not. */
export function reasonOf(tag: Tag, value: number | null): "" | "device.beyond" | "device.above" | "device.below" {
  if (value === null) return "";
  if (below(value, tag.limit_low) || above(value, tag.limit_high)) return "device.beyond";
  if (above(value, tag.eu_high)) return "device.above";
  return below(value, tag.eu_low) ? "device.below" : "";
}

function below(value: number, low: number | null | undefined): boolean {
  return low !== null && low !== undefined && value < low;
}

function above(value: number, high: number | null | undefined): boolean {
  return high !== null && high !== undefined && value > high;
}

const PACKML_LEVEL: Record<string, Level> = { ABORTED: "alarm", ABORTING: "alarm", HELD: "warn", HOLDING: "warn" };

export function packmlLevel(state: string): Level {
  return PACKML_LEVEL[state] ?? "none";
}

/** States in which a machine makes something. */
export const RUNNING = new Set(["EXECUTE", "COMPLETING"]);

const COMMAND_LEVEL: Partial<Record<CommandState, Level>> = {
  FAILED: "alarm",
  REJECTED: "warn",
  EXPIRED: "warn",
  UNKNOWN: "alarm",
  PENDING_APPROVAL: "warn",
};

export function commandLevel(state: CommandState): Level {
  return COMMAND_LEVEL[state] ?? "none";
}

const OUTCOMES = new Set<CommandState>(["SUCCEEDED", "FAILED", "REJECTED", "EXPIRED", "CANCELLED", "UNKNOWN"]);

export function ended(command: Command): boolean {
  return OUTCOMES.has(command.state) && !command.provisional;
}

export function healthLevel(health: HealthName): Level {
  return health === "DOWN" ? "alarm" : health === "DEGRADED" ? "warn" : health === "OK" ? "none" : "stale";
}

/** PackML states by their number (ISA-TR88.00.02). */
export const PACKML = [
  "UNDEFINED",
  "CLEARING",
  "STOPPED",
  "STARTING",
  "IDLE",
  "SUSPENDED",
  "EXECUTE",
  "STOPPING",
  "ABORTING",
  "ABORTED",
  "HOLDING",
  "HELD",
  "UNHOLDING",
  "SUSPENDING",
  "UNSUSPENDING",
  "RESETTING",
  "COMPLETING",
  "COMPLETE",
] as const;

export const PACKML_COMMANDS = [
  "",
  "reset",
  "start",
  "stop",
  "hold",
  "unhold",
  "suspend",
  "unsuspend",
  "abort",
  "clear",
] as const;

/** A value whose range says something: not a counter, not a state. */
export function isAnalogue(tag: Tag): boolean {
  const span = (tag.eu_high ?? Number.NaN) - (tag.eu_low ?? Number.NaN);
  return tag.data_type === "DOUBLE" && span > 0 && span < 1e6;
}
