// Episodes that are open now, for the whole page: the watch sends those first, then every step.
import { computed, signal } from "@preact/signals";
import { subscribe } from "../api/live";
import type { Anomaly } from "../api/types";

const MOST = 2000;
const episodes = signal<Map<string, Anomaly>>(new Map());

export const openAnomalies = computed(() => [...episodes.value.values()].sort((a, b) => b.start_us - a.start_us));
/** Steps that were heard, for pages that show a list of their own. */
export const anomalySteps = signal(0);

subscribe({ what: "anomalies", prefix: "" }, (message) => {
  const found = message.anomaly as Anomaly | undefined;
  if (!found) return;
  const next = new Map(episodes.peek());
  if (found.phase === "CLOSE" || found.end_us) next.delete(found.episode_id);
  else if (next.size < MOST || next.has(found.episode_id)) next.set(found.episode_id, found);
  episodes.value = next;
  anomalySteps.value++;
});

export function takeOpen(found: Anomaly[]): void {
  episodes.value = new Map(found.map((one) => [one.episode_id, one]));
}
