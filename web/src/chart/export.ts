// Saving what is drawn: CSV of the points, one picture of all charts.
import { csv } from "../format";
import type { ChartSeries } from "../api/types";
import { colour } from "../state/theme";
import { drawn } from "./chart";
import { rows } from "./data";

export function saveCsv(series: ChartSeries[], name: string): void {
  save(new Blob([csv(rows(series))], { type: "text/csv" }), `${name}.csv`);
}

/** All charts below each other, each under the names of its curves. */
export function savePng(titles: string[], name: string): void {
  const plots = [...drawn];
  const ratio = devicePixelRatio;
  const head = 26 * ratio;
  const width = Math.max(...plots.map((one) => one.ctx.canvas.width));
  const height = plots.reduce((all, one) => all + one.ctx.canvas.height + head, 0);
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const ctx = canvas.getContext("2d");
  if (!ctx) return;
  ctx.fillStyle = colour("panel");
  ctx.fillRect(0, 0, width, height);
  ctx.fillStyle = colour("text");
  ctx.font = `${13 * ratio}px system-ui, sans-serif`;
  let top = 0;
  plots.forEach((one, index) => {
    ctx.fillText(titles[index] ?? "", 10 * ratio, top + 18 * ratio);
    ctx.drawImage(one.ctx.canvas, 0, top + head);
    top += one.ctx.canvas.height + head;
  });
  canvas.toBlob((blob) => {
    if (blob) save(blob, `${name}.png`);
  }, "image/png");
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
