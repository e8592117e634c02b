// Numbers, units, times and ages as people read them, in the chosen language.
import { locale } from "./i18n";
import type { Maybe, Tag } from "./api/types";

/** UCUM codes that people write otherwise; the others are shown as they are. */
const UNITS: Record<string, string> = {
  "1": "",
  Cel: "°C",
  "[degF]": "°F",
  "/min": "/min",
  "/s": "/s",
  "kW.h": "kWh",
  "N.m": "Nm",
  "m3/h": "m³/h",
  m3: "m³",
  m2: "m²",
  "m/s2": "m/s²",
  Ohm: "Ω",
  um: "µm",
  us: "µs",
  deg: "°",
  "[ppm]": "ppm",
};

export function unit(code: string): string {
  return UNITS[code] ?? code.replaceAll(".", "·");
}

/** Digits behind the decimal sign that a tag's value is worth: three figures of its normal range. */
export function decimals(tag: Pick<Tag, "data_type" | "eu_low" | "eu_high">): number | undefined {
  if (tag.data_type === "INTEGER" || tag.data_type === "BOOLEAN") return 0;
  const span = Math.abs((tag.eu_high ?? Number.NaN) - (tag.eu_low ?? Number.NaN));
  if (!Number.isFinite(span) || span === 0) return undefined;
  return Math.min(4, Math.max(0, 3 - Math.ceil(Math.log10(span))));
}

export function number(value: Maybe<number>, places?: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (places === undefined && size !== 0 && (size >= 1e9 || size < 1e-4)) return value.toExponential(2);
  const options =
    places === undefined
      ? { maximumSignificantDigits: size >= 1000 ? 6 : 4 }
      : { minimumFractionDigits: places, maximumFractionDigits: places };
  return new Intl.NumberFormat(locale.value, options).format(value).replace("-", "−");
}

export function withUnit(value: Maybe<number>, code: string, places?: number): string {
  const sign = unit(code);
  return sign ? `${number(value, places)} ${sign}` : number(value, places);
}

export function count(value: number): string {
  return new Intl.NumberFormat(locale.value).format(value);
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  const step = Math.min(4, Math.floor(Math.log2(value) / 10));
  return `${number(value / 2 ** (10 * step), 1)} ${["", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

/** How long ago, or how long: `0.4 s`, `12 s`, `3 min`, `2 h`, `5 d`. */
export function duration(us: number): string {
  const s = Math.max(0, us) / 1e6;
  if (s < 9.95) return `${number(s, 1)} s`;
  if (s < 99.5) return `${Math.round(s)} s`;
  if (s < 5970) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

/** Length of a window: `10 s`, `1 min`, `1 h`. */
export function windowLength(s: number): string {
  if (s % 86_400 === 0) return `${s / 86_400} d`;
  if (s % 3600 === 0) return `${s / 3600} h`;
  return s % 60 === 0 ? `${s / 60} min` : `${s} s`;
}

/** Time of day, with its date when it is not today. */
export function time(us: Maybe<number>, fine = true): string {
  if (!us) return "–";
  const at = new Date(us / 1000);
  const today = at.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(locale.value, {
    ...(today
      ? {}
      : {
          day: "2-digit",
          month: "2-digit",
          year: at.getFullYear() === new Date().getFullYear() ? undefined : "numeric",
        }),
    hour: "2-digit",
    minute: "2-digit",
    ...(fine ? { second: "2-digit" } : {}),
  }).format(at);
}

/** A local day, ISO 8601, for people. */
export function day(iso: string): string {
  const names = { weekday: "short", day: "2-digit", month: "2-digit", timeZone: "UTC" } as const;
  return new Intl.DateTimeFormat(locale.value, names).format(new Date(iso));
}

/** The whole of it, for a tooltip and for machines. */
export function fullTime(us: number): string {
  return new Intl.DateTimeFormat(locale.value, { dateStyle: "medium", timeStyle: "long" }).format(new Date(us / 1000));
}

export function words(name: string): string {
  return name.replaceAll("_", " ");
}

/** CSV as RFC 4180 has it. */
export function csv(rows: (string | number | null | undefined)[][]): string {
  const cell = (value: string | number | null | undefined): string => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
