// Where planned busy time went, as one bar: good pieces at planned speed, scrap, slower than planned, stopped. Pattern and text say what colour says.
import type { JSX } from "preact";
import type { Oee } from "../api/work";
import { duration, number } from "../format";
import { t, type Key } from "../i18n";

export const LOSSES = ["good", "scrap", "slow", "stopped", "unrated"] as const;
export type Loss = (typeof LOSSES)[number];

/** Seconds of each part; they add up to planned busy time unless machines ran faster than planned. */
export function lossesOf(row: Oee): { loss: Loss; seconds: number }[] {
  const stopped = Math.max(row.pbt_s - row.apt_s, 0);
  if (row.ideal_s === null || row.ideal_s === undefined)
    return [
      { loss: "unrated", seconds: row.apt_s },
      { loss: "stopped", seconds: stopped },
    ];
  const good = row.ideal_s * (row.quality ?? 0);
  return [
    { loss: "good", seconds: good },
    { loss: "scrap", seconds: row.ideal_s - good },
    { loss: "slow", seconds: Math.max(row.apt_s - row.ideal_s, 0) },
    { loss: "stopped", seconds: stopped },
  ];
}

export function share(value: number | null | undefined, places = 1): string {
  return value === null || value === undefined ? "–" : `${number(value * 100, places)} %`;
}

export function LossBar({ row, legend = false }: { row: Oee; legend?: boolean }): JSX.Element {
  const parts = lossesOf(row);
  const whole = parts.reduce((all, part) => all + part.seconds, 0);
  const text = (part: { loss: Loss; seconds: number }): string =>
    `${t(`oee.${part.loss}` as Key)} ${duration(part.seconds * 1e6)}, ${share(whole ? part.seconds / whole : null, 0)}`;
  return (
    <>
      <span class="losses" role="img" aria-label={parts.map(text).join("; ")}>
        {whole > 0 &&
          parts.map((part) => (
            <span class={part.loss} title={text(part)} style={{ width: `${(part.seconds / whole) * 100}%` }} />
          ))}
      </span>
      {legend && (
        <ul class="legend">
          {parts.map((part) => (
            <li>
              <span class={`swatch ${part.loss}`} aria-hidden="true" />
              {t(`oee.${part.loss}` as Key)} <b>{duration(part.seconds * 1e6)}</b>{" "}
              <span class="quiet">{share(whole ? part.seconds / whole : null, 0)}</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
