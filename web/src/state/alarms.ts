// Alarms for the whole page: how many are not acknowledged, whether anybody evaluates them, and that something has changed. Pages that show
// alarms ask for them again then; the watch itself carries counts alone, whatever stands.
import { signal } from "@preact/signals";
import { subscribe } from "../api/live";
import type { AlarmCounts, AlarmEvaluation, PriorityName } from "../api/types";

export const PRIORITIES: PriorityName[] = ["CRITICAL", "HIGH", "MEDIUM", "LOW"];
const PACE_MS = 700;

/** undefined while nothing is known. */
export const alarmCounts = signal<AlarmCounts | undefined>(undefined);
export const evaluation = signal<AlarmEvaluation | undefined>(undefined);
/** Why alarms cannot be read now; what is known of them is old. */
export const alarmsFault = signal("");
/** Why there are no alarms here: they are not switched on. Empty where they are. */
export const alarmsOff = signal("");
/** Grows when something has changed, not more often than once in a while. */
export const alarmChanges = signal(0);

let due = 0;

export function changed(): void {
  if (due) return;
  due = window.setTimeout(() => {
    due = 0;
    alarmChanges.value++;
  }, PACE_MS);
}

export function countOf(counts: AlarmCounts | undefined, priority: PriorityName): number {
  return counts?.unacknowledged.find((one) => one.priority === priority)?.count ?? 0;
}

export function countOfStanding(counts: AlarmCounts): number {
  return counts.standing.reduce((sum, one) => sum + one.count, 0);
}

export function newAlarms(counts: AlarmCounts | undefined): number {
  return PRIORITIES.reduce((sum, priority) => sum + countOf(counts, priority), 0);
}

subscribe(
  { what: "alarms", prefix: "", counts_only: true },
  (message) => {
    const found = message.alarms as { counts: AlarmCounts; evaluation: AlarmEvaluation; notice: string } | undefined;
    if (!found) return;
    alarmCounts.value = found.counts;
    evaluation.value = found.evaluation;
    alarmsOff.value = alarmsFault.value = "";
    if (found.notice !== "heartbeat") changed();
  },
  (error) => {
    const off = error.code === "FAILED_PRECONDITION";
    if (off) alarmCounts.value = undefined;
    evaluation.value = undefined;
    alarmsOff.value = off ? (error.detail ?? "off") : "";
    alarmsFault.value = off ? "" : (error.detail ?? error.code ?? "?");
  },
);
