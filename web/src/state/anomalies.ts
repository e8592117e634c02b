// Episodes that are open now, for the whole page: the watch sends those first, then every step, and what people say of them.
import { computed, signal } from "@preact/signals";
import { subscribe } from "../api/live";
import type { Anomaly, AnomalyLabel } from "../api/types";

const MOST = 2000;
const episodes = signal<Map<string, Anomaly>>(new Map());

export const openAnomalies = computed(() => [...episodes.value.values()].sort((a, b) => b.start_us - a.start_us));
/** Steps that were heard, for pages that show a list of their own. */
export const anomalySteps = signal(0);
const WORDS = 500;
/** The newest word on episodes of which something was said: lists of history are asked for now and then only. */
const words = signal<Map<string, AnomalyLabel[]>>(new Map());

/** An episode came with labels: as an answer, or over the watch. */
export function heard(found: Anomaly): void {
  const labels = found.labels ?? [];
  if (weight(labels) <= weight(words.peek().get(found.episode_id))) return;
  const next = new Map(words.peek());
  next.delete(found.episode_id);
  words.value = new Map([...next, [found.episode_id, labels] as const].slice(-WORDS));
}

/** The episode with the labels that were heard last. */
export function withWords(anomaly: Anomaly): Anomaly {
  const labels = words.value.get(anomaly.episode_id);
  return weight(labels) > weight(anomaly.labels) ? { ...anomaly, labels: labels ?? [] } : anomaly;
}

/** Labels are added and withdrawn, never taken away: what weighs more is newer. */
function weight(labels: AnomalyLabel[] | undefined): number {
  return (labels ?? []).reduce((sum, one) => sum + (one.withdrawn_us ? 2 : 1), 0);
}

subscribe({ what: "anomalies", prefix: "" }, (message) => {
  const found = message.anomaly as Anomaly | undefined;
  if (!found) return;
  heard(found);
  const next = new Map(episodes.peek());
  if (found.phase === "CLOSE" || found.end_us) next.delete(found.episode_id);
  else if (next.size < MOST || next.has(found.episode_id)) next.set(found.episode_id, found);
  episodes.value = next;
  anomalySteps.value++;
});

export function takeOpen(found: Anomaly[]): void {
  episodes.value = new Map(found.map((one) => [one.episode_id, one]));
}
