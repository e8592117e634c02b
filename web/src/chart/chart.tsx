// One chart of the page: curves of one unit over the page's range. Crosshairs of all charts go in step; dragging zooms the page, not the chart.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { number, time, unit as unitText, words } from "../format";
import { language, locale, named, t } from "../i18n";
import { pan, range, show, zoom } from "../range";
import { nameOf } from "../route";
import { serverNow } from "../state/clock";
import { colour, dark } from "../state/theme";
import { endOf } from "./alarms";
import type { Group } from "./data";
import { drawBehind, drawOver, type Overlays } from "./overlays";

export const PENS = 8;
const SYNC = uPlot.sync("trends");
const FINE_S = 2;
/** Alarms under the crosshair that are named. */
const TOLD = 4;

interface Props {
  group: Group;
  overlays: Overlays;
  start_us: number;
  end_us: number;
  height: number;
}

/** Every chart on the page, for a picture of them. */
export const drawn = new Set<uPlot>();

export function Chart(props: Props): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const shape = props.group.columns
    .map((one) => `${one.curve.pen}${one.min ? "b" : ""}${one.curve.series.path}`)
    .join();

  useEffect(() => {
    const element = host.current as HTMLDivElement;
    const made = new uPlot(options(latest, element.clientWidth), props.group.data, element);
    plot.current = made;
    drawn.add(made);
    const sized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: latest.current.height }));
    sized.observe(element);
    return () => {
      sized.disconnect();
      drawn.delete(made);
      made.destroy();
      plot.current = null;
    };
  }, [shape, dark.value, language.value, props.height]);

  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    made.batch(() => {
      made.setData(props.group.data, false);
      made.setScale("x", { min: props.start_us / 1e6, max: props.end_us / 1e6 });
    });
  }, [props.group, props.start_us, props.end_us, props.overlays]);

  const names = props.group.curves.map((one) => words(nameOf(one.series.path))).join(", ");
  return (
    <div
      ref={host}
      class="chart"
      role="application"
      aria-roledescription={t("nav.trends")}
      aria-label={`${t("trends.chart", { names })}. ${t("trends.help")}`}
      tabIndex={0}
      onKeyDown={keys}
    />
  );
}

const KEYS: Record<string, () => void> = {
  "+": () => zoom(0.5),
  "=": () => zoom(0.5),
  "-": () => zoom(2),
  ArrowLeft: () => pan(-0.25),
  ArrowRight: () => pan(0.25),
};

function keys(event: KeyboardEvent): void {
  const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : KEYS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
}

function options(latest: { current: Props }, width: number): uPlot.Options {
  const { group, height, start_us, end_us } = latest.current;
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const { curve, min, max } of group.columns) {
    const stroke = colour(`pen-${curve.pen % PENS}`);
    series.push({
      label: words(nameOf(curve.series.path)),
      stroke,
      width: 1.5,
      points: { show: points },
      spanGaps: false,
    });
    if (!min) continue;
    series.push(
      { stroke: "transparent", width: 0, points: { show: false } },
      { stroke: "transparent", width: 0, points: { show: false } },
    );
    bands.push({ series: [max, min], fill: `color-mix(in srgb, ${stroke} 22%, transparent)` });
  }
  const text = colour("muted");
  const grid = { stroke: colour("grid"), width: 1 };
  const font = `${getComputedStyle(document.documentElement).fontSize === "18px" ? 14 : 11.5}px system-ui, sans-serif`;
  return {
    width,
    height,
    series,
    bands,
    legend: { show: false },
    padding: [8, 12, 0, 0],
    scales: {
      x: {
        time: true,
        range: () => [latest.current.start_us / 1e6, latest.current.end_us / 1e6],
        min: start_us / 1e6,
        max: end_us / 1e6,
      },
      y: { range: yRange },
    },
    axes: [
      { stroke: text, grid, ticks: { ...grid, size: 4 }, font, size: 28, values: (_, splits) => ticks(splits) },
      {
        stroke: text,
        grid,
        ticks: { ...grid, size: 4 },
        font,
        size: 58,
        values: (_, splits) => splits.map((one) => number(one)),
      },
    ],
    cursor: {
      sync: { key: SYNC.key, setSeries: false },
      drag: { x: true, y: false, setScale: false },
      focus: { prox: 24 },
      points: { size: 6 },
    },
    hooks: {
      drawClear: [(u) => drawBehind(u, latest.current.overlays, serverNow())],
      draw: [(u) => drawOver(u, latest.current.overlays, serverNow())],
      setSelect: [select],
      setCursor: [(u) => tell(u, latest.current.group, latest.current.overlays)],
      ready: [gestures, tip],
    },
  };
}

/** Points are marked only where they are far apart. */
function points(u: uPlot, _: number, first: number, last: number): boolean {
  return u.bbox.width / devicePixelRatio / Math.max(1, last - first) > 12;
}

/** A margin above and below, and never a mountain range out of a shiver. */
function yRange(_: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const span = Math.max(high - low, Math.abs(high) * 1e-3, 1e-6);
  const middle = (low + high) / 2;
  return [middle - span * 0.58, middle + span * 0.58];
}

function ticks(splits: number[]): string[] {
  const step = (splits[1] ?? 0) - (splits[0] ?? 0);
  let day = "";
  return splits.map((one) => {
    const at = new Date(one * 1000);
    const date = new Intl.DateTimeFormat(locale.value, { day: "2-digit", month: "2-digit" }).format(at);
    const clock = new Intl.DateTimeFormat(locale.value, {
      hour: "2-digit",
      minute: "2-digit",
      ...(step < 60 ? { second: "2-digit" } : {}),
    }).format(at);
    const changed = day !== "" && date !== day;
    day = date;
    return step >= 86_400 || (changed && step >= 3600) ? date : clock;
  });
}

function select(u: uPlot): void {
  const { left, width } = u.select;
  if (width < 6) return;
  const start = u.posToVal(left, "x");
  const end = u.posToVal(left + width, "x");
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (end - start > FINE_S / 4) show(start * 1e6, end * 1e6);
}

/** Wheel with Ctrl zooms around the pointer, Shift and drag moves; what the browser does with the wheel alone stays. */
function gestures(u: uPlot): void {
  const { over } = u;
  over.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const at = u.posToVal(event.clientX - over.getBoundingClientRect().left, "x") * 1e6;
      zoom(event.deltaY < 0 ? 0.75 : 1.33, at);
    },
    { passive: false },
  );
  over.addEventListener("dblclick", () => zoom(2));
  over.addEventListener(
    "mousedown",
    (event) => {
      if (!event.shiftKey || event.button) return;
      event.stopImmediatePropagation();
      const from = event.clientX;
      const { start_us, end_us } = range.peek();
      const up = (end: MouseEvent): void => {
        window.removeEventListener("mouseup", up);
        const by = ((from - end.clientX) / over.clientWidth) * (end_us - start_us);
        if (Math.abs(by) > 0) show(start_us + by, end_us + by);
      };
      window.addEventListener("mouseup", up);
    },
    { capture: true },
  );
}

function tip(u: uPlot): void {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  u.over.append(box);
}

/** Time, values and alarms under the crosshair. */
function tell(u: uPlot, group: Group, overlays: Overlays): void {
  const box = u.over.querySelector<HTMLElement>(".tip");
  if (!box) return;
  const { idx, left = -1 } = u.cursor;
  if (idx === null || idx === undefined || left < 0) {
    box.hidden = true;
    return;
  }
  box.hidden = false;
  const rows = group.columns.map(({ curve, value, min, max }) => {
    const row = document.createElement("div");
    const at = nearest(u.data[value] as (number | null | undefined)[], idx);
    const band = min ? ` (${number(u.data[min]?.[at] ?? null)} – ${number(u.data[max]?.[at] ?? null)})` : "";
    row.textContent = `${words(nameOf(curve.series.path))} ${number(u.data[value]?.[at] ?? null)} ${unitText(group.unit)}${band}`;
    row.className = `pen-${curve.pen % PENS}`;
    return row;
  });
  const head = document.createElement("b");
  head.textContent = time((u.data[0][idx] ?? 0) * 1e6);
  const at_us = u.posToVal(left, "x") * 1e6;
  const held = overlays.alarms.filter((one) => one.raised_us <= at_us && at_us < endOf(one, serverNow()));
  const alarms = held.slice(0, TOLD).map((one) => {
    const row = document.createElement("div");
    row.textContent = `${named("priority", one.priority)}: ${one.title || one.rule}`;
    row.className = `alarm-told ${one.priority.toLowerCase()}`;
    return row;
  });
  box.replaceChildren(head, ...rows, ...alarms);
  const right = left > u.over.clientWidth / 2;
  box.style.left = right ? "" : `${left + 12}px`;
  box.style.right = right ? `${u.over.clientWidth - left + 12}px` : "";
}

/** The last point at or before an index: other tags have points of their own between. */
function nearest(values: (number | null | undefined)[], idx: number): number {
  let at = idx;
  while (at > 0 && values[at] === undefined) at--;
  return at;
}
