// The time range of the page, in its address: `from` and `to` are relative (`-15m`) or times (`2026-11-28T18:00:00Z`); without `to` it ends now.
import { computed } from "@preact/signals";
import { go, here, route } from "./route";
import { minute, now } from "./state/clock";

export interface Range {
  start_us: number;
  end_us: number;
  /** It ends now, and moves. */
  live: boolean;
  /** The relative text, when it is one. */
  relative: string;
}

const UNIT_S: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };
export const PRESETS = ["-15m", "-1h", "-8h", "-24h", "-7d", "-30d"] as const;
export const PRESET_TEXT = {
  "-15m": "range.m15",
  "-1h": "range.h1",
  "-8h": "range.h8",
  "-24h": "range.d1",
  "-7d": "range.d7",
  "-30d": "range.d30",
} as const;
const SHORTEST_US = 2_000_000;
const LONGEST_US = 400 * 86_400e6;

export function seconds(relative: string): number {
  const found = /^-(\d{1,6})([smhd])$/.exec(relative);
  return found ? Number(found[1]) * (UNIT_S[found[2] ?? "s"] ?? 1) : 0;
}

function at(text: string | null): number {
  const found = text ? Date.parse(text) : Number.NaN;
  return Number.isFinite(found) ? found * 1000 : 0;
}

export function parse(query: URLSearchParams, fallback: string, now_us: number): Range {
  const from = query.get("from") ?? fallback;
  const back = seconds(from);
  const end = at(query.get("to"));
  if (back)
    return { start_us: (end || now_us) - back * 1e6, end_us: end || now_us, live: !end, relative: end ? "" : from };
  const start = at(from);
  if (!start) return parse(new URLSearchParams(), fallback, now_us);
  const stop = Math.max(end || now_us, start + SHORTEST_US);
  return { start_us: start, end_us: stop, live: !end, relative: "" };
}

/** What a page shows that names no range. */
export function fallbackOf(page: string): string {
  return page === "trends" ? "-15m" : "-24h";
}

/** The range of the page; one that ends now moves every second, or every minute when it is long. */
export const range = computed<Range>(() => {
  const { query, page } = route.value;
  const fallback = fallbackOf(page);
  const long = (seconds(query.get("from") ?? fallback) || 3600) > 7200;
  return parse(query, fallback, long ? minute.value : now.value);
});

export function show(start_us: number, end_us: number): void {
  const span = Math.min(Math.max(end_us - start_us, SHORTEST_US), LONGEST_US);
  const middle = (start_us + end_us) / 2;
  go(here({ from: iso(middle - span / 2), to: iso(middle + span / 2) }));
}

/** Zoom by a factor around the middle; above 1 shows more. */
export function zoom(factor: number, middle_us?: number): void {
  const { start_us, end_us } = range.peek();
  const middle = middle_us ?? (start_us + end_us) / 2;
  show(middle - (middle - start_us) * factor, middle + (end_us - middle) * factor);
}

/** Move by a share of the range. */
export function pan(share: number): void {
  const { start_us, end_us } = range.peek();
  const by = (end_us - start_us) * share;
  show(start_us + by, end_us + by);
}

export function iso(time_us: number): string {
  return new Date(Math.round(time_us / 1000)).toISOString().replace(".000Z", "Z");
}

/** The range as a request takes it, and a key that changes when another one is chosen: one that ends now is asked for anew by time alone. */
export function spanOf(): { start_us: number; end_us: number | undefined; key: unknown } {
  const { start_us, end_us, live } = range.value;
  return {
    start_us: Math.round(start_us),
    end_us: live ? undefined : Math.round(end_us),
    key: live ? route.value.query.get("from") : [start_us, end_us],
  };
}
