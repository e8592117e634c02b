// Where a time is on a chart.
import type uPlot from "uplot";

/** Pixels of the canvas. */
export function place(u: uPlot, us: number): number {
  return u.valToPos(us / 1e6, "x", true);
}
