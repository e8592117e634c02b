// Alarms on a chart: a row for each priority that there is, the most urgent on top. A bar lasts while the condition holds: filled until
// somebody has taken note, an outline afterwards. Behind it the stretch is shaded. Grey where nothing is wrong: nothing is drawn then.
import type uPlot from "uplot";
import type { AlarmActivation, PriorityName } from "../api/types";
import { PRIORITIES } from "../state/alarms";
import { colour } from "../state/theme";
import { FORMS } from "../ui/priority";
import { place } from "./axis";

/** Pixels of a row, and of what is in it. */
const ROW = 18;
const BAR = 5;
const SIGN = 16;
const TOP = 6;
/** Of the marks in a sign: the box that its form is drawn in. */
const BOX = 24;
const TEXT: Record<PriorityName, string> = { CRITICAL: "#fff", HIGH: "#000", MEDIUM: "#000", LOW: "#fff" };

function colourOf(priority: PriorityName): string {
  return colour(priority.toLowerCase());
}

/** The end of an activation on the time axis. */
export function endOf(one: AlarmActivation, now_us: number): number {
  return one.returned_us ?? now_us;
}

export function shadeAlarms(u: uPlot, alarms: AlarmActivation[], pointed: string, now_us: number): void {
  const { ctx, bbox } = u;
  for (const priority of PRIORITIES) {
    const own = alarms.filter((one) => one.priority === priority);
    if (!own.length) continue;
    ctx.fillStyle = colourOf(priority);
    ctx.globalAlpha = 0.09;
    // Of those that overlap the stretch is shaded once.
    ctx.beginPath();
    for (const [from, to] of merged(own, now_us)) {
      const left = place(u, from);
      ctx.rect(left, bbox.top, Math.max(2, place(u, to) - left), bbox.height);
    }
    ctx.fill();
    ctx.globalAlpha = 0.3;
    for (const one of own.filter((each) => each.alarm_id === pointed)) {
      const left = place(u, one.raised_us);
      ctx.fillRect(left, bbox.top, Math.max(2, place(u, endOf(one, now_us)) - left), bbox.height);
    }
  }
  ctx.globalAlpha = 1;
}

export function drawAlarms(u: uPlot, alarms: AlarmActivation[], now_us: number): void {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  const there = PRIORITIES.filter((priority) => alarms.some((one) => one.priority === priority));
  there.forEach((priority, row) => {
    const own = colourOf(priority);
    const middle = bbox.top + (TOP + row * ROW + ROW / 2) * ratio;
    const bars = alarms.filter((one) => one.priority === priority).sort((a, b) => a.raised_us - b.raised_us);
    ctx.lineWidth = ratio;
    for (const one of bars) {
      const left = place(u, one.raised_us);
      const right = Math.max(left + 2 * ratio, place(u, endOf(one, now_us)));
      const noted = Math.min(right, one.acknowledged_us ? Math.max(left, place(u, one.acknowledged_us)) : right);
      ctx.fillStyle = ctx.strokeStyle = own;
      ctx.fillRect(left, middle - (BAR / 2) * ratio, noted - left, BAR * ratio);
      ctx.strokeRect(left, middle - (BAR / 2) * ratio, right - left, BAR * ratio);
    }
    // Signs that would cover each other are one.
    let last = Number.NEGATIVE_INFINITY;
    for (const one of bars) {
      const at = Math.max(place(u, one.raised_us), bbox.left + (SIGN / 2 + 1) * ratio);
      if (at - last < (SIGN + 1) * ratio) continue;
      last = at;
      sign(ctx, priority, own, at, middle, ratio, !one.acknowledged_us);
    }
  });
}

function sign(
  ctx: CanvasRenderingContext2D,
  priority: PriorityName,
  own: string,
  x: number,
  y: number,
  ratio: number,
  filled: boolean,
): void {
  const [form, number, foot] = FORMS[priority];
  const scale = (SIGN * ratio) / BOX;
  ctx.save();
  ctx.translate(x - (SIGN / 2) * ratio, y - (SIGN / 2) * ratio);
  ctx.scale(scale, scale);
  const path = new Path2D(form);
  ctx.fillStyle = filled ? own : colour("panel");
  ctx.fill(path);
  ctx.lineWidth = filled ? 1.5 : 3;
  ctx.strokeStyle = own;
  ctx.stroke(path);
  ctx.fillStyle = filled ? TEXT[priority] : colour("text");
  ctx.font = "700 14px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "alphabetic";
  ctx.fillText(number, BOX / 2, foot + 1);
  ctx.restore();
}

function merged(alarms: AlarmActivation[], now_us: number): [number, number][] {
  const found: [number, number][] = [];
  for (const one of [...alarms].sort((a, b) => a.raised_us - b.raised_us)) {
    const last = found.at(-1);
    const end = endOf(one, now_us);
    if (last && one.raised_us <= last[1]) last[1] = Math.max(last[1], end);
    else found.push([one.raised_us, end]);
  }
  return found;
}
