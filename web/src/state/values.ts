// Last values of tags, each a signal of its own, so that a change redraws only where it is shown; a short history of each for its sparkline.
import { batch, signal, type Signal } from "@preact/signals";
import { subscribe } from "../api/live";
import type { Tag, TagBatch, Value } from "../api/types";
import { observe, serverNow } from "./clock";

const TRACE_POINTS = 400;
export const TRACE_US = 15 * 60e6;

export interface Trace {
  time_us: number[];
  value: (number | null)[];
}

const values = new Map<number, Signal<Value | undefined>>();
const traces = new Map<number, Signal<Trace>>();

export function valueOf(tag_id: number): Signal<Value | undefined> {
  let found = values.get(tag_id);
  if (!found) values.set(tag_id, (found = signal(undefined)));
  return found;
}

export function traceOf(tag_id: number): Signal<Trace> {
  let found = traces.get(tag_id);
  if (!found) traces.set(tag_id, (found = signal<Trace>({ time_us: [], value: [] })));
  return found;
}

/** Take values that came with a list of tags. */
export function remember(tags: Tag[]): void {
  batch(() => {
    for (const tag of tags) if (tag.last) put(tag.tag_id, tag.last);
  });
}

/** Watch everything at or under paths; the result ends it. */
export function watch(prefixes: string[], interval_ms = 250): () => void {
  const wanted = { what: "tags" as const, prefixes, min_interval_ms: interval_ms, heartbeat_ms: 5000 };
  return subscribe(wanted, (message) => {
    const found = message.batch as TagBatch | undefined;
    if (!found) return;
    observe(found.sent_us);
    batch(() => {
      for (const update of found.updates ?? []) put(update.tag_id, update.value);
    });
  });
}

/** Give a trace its past, from history. */
export function fill(tag_id: number, time_us: number[], value: (number | null)[]): void {
  const now = traceOf(tag_id);
  const first = now.peek().time_us[0] ?? Number.POSITIVE_INFINITY;
  const keep = time_us.findIndex((time) => time >= first);
  const end = keep < 0 ? time_us.length : keep;
  now.value = {
    time_us: [...time_us.slice(0, end), ...now.peek().time_us],
    value: [...value.slice(0, end), ...now.peek().value],
  };
}

/** Every value that is known, for the memory of this device. */
export function known(): [number, Value][] {
  return [...values].flatMap(([tag_id, found]) =>
    found.peek() ? [[tag_id, found.peek() as Value] as [number, Value]] : [],
  );
}

function put(tag_id: number, value: Value): void {
  const found = valueOf(tag_id);
  const before = found.peek();
  if (before && before.time_us > value.time_us) return;
  found.value = value;
  const trace = traceOf(tag_id);
  const { time_us, value: past } = trace.peek();
  if (time_us.at(-1) === value.time_us) return;
  // A point every two seconds is as fine as a sparkline of 15 minutes can show.
  const last = time_us.at(-2);
  const start = serverNow() - TRACE_US;
  const close = last !== undefined && value.time_us - last < 2e6;
  const times = close ? time_us.slice(0, -1) : time_us.slice(-TRACE_POINTS);
  const kept = close ? past.slice(0, -1) : past.slice(-TRACE_POINTS);
  times.push(value.time_us);
  kept.push(value.quality === "BAD" ? null : value.value);
  while ((times[1] ?? Number.POSITIVE_INFINITY) < start) {
    times.shift();
    kept.shift();
  }
  trace.value = { time_us: times, value: kept };
}
