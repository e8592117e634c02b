// What is drawn: curves of several tags brought on one time axis, grouped by unit; its figures, and its rows for an export.
import uPlot from "uplot";
import type { ChartSeries } from "../api/types";

export interface Curve {
  series: ChartSeries;
  /** Place in the list of chosen tags: decides the pen. */
  pen: number;
}

export interface Group {
  unit: string;
  curves: Curve[];
  data: uPlot.AlignedData;
  /** Columns of each curve in `data`: value, and least and largest when it was drawn from windows. */
  columns: { curve: Curve; value: number; min: number; max: number }[];
}

/** A hole in the samples is drawn as one when it is so many times the usual distance. */
const HOLE = 8;

/** One chart for each unit, in the order of the tags. Times are seconds, as uPlot takes them. */
export function grouped(series: ChartSeries[], order: string[]): Group[] {
  const curves = series
    .map((one) => ({ series: one, pen: order.indexOf(one.path) }))
    .filter((one) => one.pen >= 0)
    .sort((a, b) => a.pen - b.pen);
  return [...Map.groupBy(curves, (one) => one.series.unit)].map(([unit, members]) => group(unit, members));
}

function group(unit: string, curves: Curve[]): Group {
  const tables: uPlot.AlignedData[] = [];
  const columns: Group["columns"] = [];
  let next = 1;
  for (const curve of curves) {
    const { series } = curve;
    const banded = series.source === "windows" && series.min.length === series.time_us.length;
    const { time, pick } = withHoles(series);
    const column = (values: (number | null)[]): (number | null)[] =>
      pick.map((index) => (index < 0 ? null : (values[index] ?? null)));
    tables.push(
      (banded
        ? [time, column(series.value), column(series.min), column(series.max)]
        : [time, column(series.value)]) as uPlot.AlignedData,
    );
    columns.push({ curve, value: next, min: banded ? next + 1 : 0, max: banded ? next + 2 : 0 });
    next += banded ? 3 : 1;
  }
  // What one tag has no point for is spanned (undefined); what has no value is a hole (null).
  const data =
    tables.length === 1
      ? (tables[0] as uPlot.AlignedData)
      : uPlot.join(
          tables,
          tables.map((table) => table.map(() => 2)),
        );
  return { unit, curves, data, columns };
}

/** Times in seconds, with a point without a value where samples are missing for long. */
function withHoles(series: ChartSeries): { time: number[]; pick: number[] } {
  const { time_us } = series;
  const usual = series.window_s ? series.window_s * 1e6 : median(time_us);
  const time: number[] = [];
  const pick: number[] = [];
  for (let i = 0; i < time_us.length; i++) {
    const at = time_us[i] as number;
    const before = time_us[i - 1];
    if (before !== undefined && usual > 0 && at - before > usual * HOLE) {
      time.push((before + usual) / 1e6);
      pick.push(-1);
    }
    time.push(at / 1e6);
    pick.push(i);
  }
  return { time, pick };
}

function median(time_us: number[]): number {
  const steps: number[] = [];
  const stride = Math.max(1, Math.floor(time_us.length / 200));
  for (let i = stride; i < time_us.length; i += stride)
    steps.push(((time_us[i] as number) - (time_us[i - stride] as number)) / stride);
  steps.sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] ?? 0;
}

export interface Figures {
  latest: number | null;
  mean: number | null;
  min: number | null;
  max: number | null;
  points: number;
}

export function figures(series: ChartSeries): Figures {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let points = 0;
  let latest: number | null = null;
  for (let i = 0; i < series.value.length; i++) {
    const value = series.value[i];
    if (value === null || value === undefined) continue;
    min = Math.min(min, series.min[i] ?? value);
    max = Math.max(max, series.max[i] ?? value);
    sum += value;
    points++;
    latest = value;
  }
  return points
    ? { latest, mean: sum / points, min, max, points }
    : { latest: null, mean: null, min: null, max: null, points: 0 };
}

export function rows(series: ChartSeries[]): (string | number | null)[][] {
  const head = ["path", "unit", "source", "time", "value", "min", "max", "quality", "repaired"];
  return [
    head,
    ...series.flatMap((one) =>
      one.time_us.map((at, i) => [
        one.path,
        one.unit,
        one.source === "windows" ? `windows of ${one.window_s} s` : one.source,
        new Date(at / 1000).toISOString(),
        one.value[i] ?? null,
        one.min[i] ?? null,
        one.max[i] ?? null,
        one.quality[i] ?? null,
        one.repaired.length ? Number(one.repaired[i]) : null,
      ]),
    ),
  ];
}

/** Stretches of windows that were recomputed, microseconds. */
export function repairedSpans(series: ChartSeries[]): [number, number][] {
  const spans: [number, number][] = [];
  for (const one of series) {
    for (let i = 0; i < one.repaired.length; i++) {
      if (!one.repaired[i]) continue;
      const start = one.time_us[i] as number;
      const end = start + one.window_s * 1e6;
      const last = spans.at(-1);
      if (last && start <= last[1] && start >= last[0]) last[1] = Math.max(last[1], end);
      else spans.push([start, end]);
    }
  }
  return spans;
}
