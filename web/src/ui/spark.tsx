// The last minutes of a value as a thin line, without axes: its form, not its figures.
import type { JSX } from "preact";
import type { Tag } from "../api/types";
import { minute, serverNow } from "../state/clock";
import { TRACE_US, traceOf } from "../state/values";

const WIDTH = 120;
const HEIGHT = 26;
const PAD = 2;

export function Spark({ tag }: { tag: Tag }): JSX.Element {
  void minute.value;
  const { time_us, value } = traceOf(tag.tag_id).value;
  const end = serverNow();
  const start = end - TRACE_US;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const one of value)
    if (one !== null) {
      low = Math.min(low, one);
      high = Math.max(high, one);
    }
  // A value that only shivers is a straight line, not a mountain range.
  const least = Math.abs((tag.eu_high ?? 0) - (tag.eu_low ?? 0)) * 0.02 || 1e-9;
  if (high - low < least) {
    const middle = (high + low) / 2;
    low = middle - least / 2;
    high = middle + least / 2;
  }
  let path = "";
  let pen = false;
  for (let i = 0; i < value.length; i++) {
    const one = value[i];
    if (one === null || one === undefined) {
      pen = false;
      continue;
    }
    const x = (((time_us[i] as number) - start) / TRACE_US) * WIDTH;
    const y = HEIGHT - PAD - ((one - low) / (high - low)) * (HEIGHT - 2 * PAD);
    path += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  }
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      preserveAspectRatio="none"
      aria-hidden="true"
      focusable="false"
    >
      {path && <path d={path} />}
    </svg>
  );
}
