// Drawn behind and over the curves: anomaly episodes as bands with a line at their top, alarms as bars of their priority with its sign,
// commands as marks, recomputed windows as a line at the foot.
import type uPlot from "uplot";
import type { AlarmActivation, Anomaly, Command } from "../api/types";
import { colour } from "../state/theme";
import { drawAlarms, shadeAlarms } from "./alarms";
import { place } from "./axis";

export interface Overlays {
  anomalies: Anomaly[];
  alarms: AlarmActivation[];
  /** Alarm that is pointed at in the list: its band stands out. */
  pointed: string;
  commands: Command[];
  repaired: [number, number][];
}

export function drawBehind(u: uPlot, overlays: Overlays, now_us: number): void {
  const { ctx, bbox } = u;
  ctx.save();
  clip(ctx, bbox);
  const warn = colour("warn-mark");
  for (const one of overlays.anomalies) {
    const left = place(u, one.start_us);
    const right = place(u, one.end_us ?? now_us);
    ctx.globalAlpha = 0.13;
    ctx.fillStyle = warn;
    ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
    ctx.globalAlpha = 1;
    ctx.fillRect(left, bbox.top, Math.max(2, right - left), 3 * devicePixelRatio);
  }
  shadeAlarms(u, overlays.alarms, overlays.pointed, now_us);
  ctx.restore();
}

export function drawOver(u: uPlot, overlays: Overlays, now_us: number): void {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  clip(ctx, bbox);
  ctx.fillStyle = colour("link");
  for (const [start, end] of overlays.repaired) {
    const left = place(u, start);
    ctx.fillRect(left, bbox.top + bbox.height - 4 * ratio, Math.max(2, place(u, end) - left), 4 * ratio);
  }
  ctx.strokeStyle = colour("text");
  ctx.fillStyle = colour("text");
  ctx.lineWidth = ratio;
  ctx.setLineDash([3 * ratio, 3 * ratio]);
  for (const one of overlays.commands) {
    const x = Math.round(place(u, one.submitted_us)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - 5 * ratio, bbox.top);
    ctx.lineTo(x + 5 * ratio, bbox.top);
    ctx.lineTo(x, bbox.top + 8 * ratio);
    ctx.fill();
  }
  ctx.setLineDash([]);
  drawAlarms(u, overlays.alarms, now_us);
  ctx.restore();
}

function clip(ctx: CanvasRenderingContext2D, bbox: uPlot.BBox): void {
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
}
