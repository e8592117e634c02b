// Our own signs, drawn on a grid of 20. They never stand alone: a text is beside them, or they are hidden from screen readers.
import type { JSX } from "preact";

const PATHS = {
  overview: "M3 3h6v6H3zM11 3h6v6h-6zM3 11h6v6H3zM11 11h6v6h-6z",
  trends: "M3 3v14h14M5.5 13l3.5-4 3 2.5L17 5.5",
  oee: "M10 3a7 7 0 1 0 7 7h-7zM12.500 2.500v5h5a5 5 0 0 0-5-5z",
  down: "M3 6h14M3 10h4M10 10h7M3 14h9M15 14h2",
  orders: "M6 3h8v14H6zM8 6.500h4M8 9.500h4M8 12.500h2",
  anomalies: "M10 3.5 17.5 16.5h-15zM10 8.5v4M10 14.2v.6",
  alarms: "M10 3a4.500 4.500 0 0 1 4.500 4.500c0 4 1.500 5 1.500 6H4c0-1 1.500-2 1.500-6A4.500 4.500 0 0 1 10 3zM8.500 16a1.600 1.600 0 0 0 3 0",
  commands: "M3.5 10h11M10.5 5.5l4.5 4.5-4.5 4.5M17.5 4v12",
  events: "M4 5h12M4 10h12M4 15h8",
  quality: "M10 3l6 2.5v4.5c0 4-2.8 6-6 7-3.2-1-6-3-6-7V5.500zM7 10l2.2 2.200L13 8",
  health: "M2.5 10h4l2-5 3 10 2-5h4",
  settings: "M4 6h8M15 6h1M4 14h1M8 14h8M13.5 4v4M6.5 12v4",
  chevron: "M7.5 5l5 5-5 5",
  left: "M12.5 5l-5 5 5 5",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  close: "M5 5l10 10M15 5L5 15",
  check: "M4 10.500l4 4 8-9",
  clock: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM10 6v4l3 2",
  offline:
    "M3 3l14 14M5.5 9a7 7 0 0 1 3-1.600M3 6.500a10 10 0 0 1 2.5-1.500M10 4a10 10 0 0 1 7 2.500M12 7.500a7 7 0 0 1 2.5 1.500M8 12a3.5 3.5 0 0 1 2.5-.8M10 15.500v.5",
  search: "M8.5 3.500a5 5 0 1 0 0 10 5 5 0 0 0 0-10zM12.5 12.500l4 4",
  user: "M10 3.500a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.400zM3.5 17c.6-3.5 3-5 6.5-5s5.9 1.5 6.5 5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 20 20" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** Form and colour say the same: a triangle for a warning, a square for an alarm, a ring for what is not known. */
export function Mark({ level }: { level: "warn" | "alarm" | "stale" | "none" }): JSX.Element | null {
  if (level === "none") return null;
  const form = { warn: "M8 1.5 15 14.500H1z", alarm: "M2 2h12v12H2z", stale: "M8 1.5 14.5 8 8 14.5 1.5 8z" }[level];
  return (
    <svg class={`mark ${level}`} viewBox="0 0 16 16" width="11" height="11" aria-hidden="true" focusable="false">
      <path d={form} />
    </svg>
  );
}
