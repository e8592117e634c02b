// A value beside its normal range: the axis covers the range and a margin; the marker turns to a colour only outside.
import type { JSX } from "preact";
import type { Tag } from "../api/types";
import { decimals, number, withUnit } from "../format";
import { t } from "../i18n";
import { isAnalogue, type Level } from "./level";

const MARGIN = 0.2;

export function Bar({ tag, value, level }: { tag: Tag; value: number | null; level: Level }): JSX.Element | null {
  if (!isAnalogue(tag)) return null;
  const low = tag.eu_low as number;
  const high = tag.eu_high as number;
  const margin = (high - low) * MARGIN;
  // The margin ends at the limits: what lies behind them is not believed.
  const least = Math.max(low - margin, Math.min(tag.limit_low ?? Number.NEGATIVE_INFINITY, low));
  const most = Math.min(high + margin, Math.max(tag.limit_high ?? Number.POSITIVE_INFINITY, high));
  const place = (at: number): number => Math.min(1, Math.max(0, (at - least) / (most - least))) * 100;
  const digits = decimals(tag);
  const normal = t("device.normal", { low: number(low), high: number(high) });
  const label = value === null ? normal : `${withUnit(value, tag.unit, digits)}, ${normal}`;
  const ends = value === null ? "" : value < least ? " under" : value > most ? " over" : "";
  return (
    <span class={`bar ${level}${ends}`} role="img" aria-label={label} title={label}>
      <span class="normal" style={{ left: `${place(low)}%`, width: `${place(high) - place(low)}%` }} />
      {value !== null && <span class="marker" style={{ left: `${place(value)}%` }} />}
    </span>
  );
}
