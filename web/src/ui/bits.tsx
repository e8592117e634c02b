// Small parts: badges, notes of what is loading, missing or refused, links to machines.
import type { ComponentChildren, JSX } from "preact";
import { Problem } from "../api/http";
import type { CommandState, QualityName } from "../api/types";
import { duration, fullTime, time, words } from "../format";
import { named, t, type Key } from "../i18n";
import { href, nameOf, parentOf, placeOf } from "../route";
import { now } from "../state/clock";
import { Mark } from "./icons";
import { commandLevel, packmlLevel, type Level } from "./level";

export function Badge({
  level,
  children,
  title,
}: {
  level: Level;
  children: ComponentChildren;
  title?: string;
}): JSX.Element {
  return (
    <span class={`badge ${level}`} title={title}>
      <Mark level={level} />
      {children}
    </span>
  );
}

export function PackmlBadge({ state }: { state: string }): JSX.Element | null {
  return state ? (
    <Badge level={packmlLevel(state)} title="PackML">
      {named("packml", state)}
    </Badge>
  ) : null;
}

export function CommandBadge({ state, provisional }: { state: CommandState; provisional?: boolean }): JSX.Element {
  return (
    <span class="command-state">
      <Badge level={commandLevel(state)}>{named("command", state)}</Badge>
      {provisional && (
        <span class="provisional" title={t("commands.provisionalHint")}>
          {t("commands.provisional")}
        </span>
      )}
    </span>
  );
}

const CODES: Record<number, string> = {
  0x8031: "no communication",
  0x8004: "not supported",
  0x808a: "not connected",
  0x808c: "sensor failure",
  0x808d: "out of service",
  0x8089: "configuration error",
  0x808b: "device failure",
  0x40b0: "last usable value",
  0x4094: "sensor not accurate",
  0x4095: "engineering units exceeded",
};

export function QualityText({
  quality,
  code,
  stale,
}: {
  quality: QualityName;
  code: number;
  stale: boolean;
}): JSX.Element {
  const level: Level = stale ? "stale" : quality === "BAD" ? "alarm" : quality === "UNCERTAIN" ? "warn" : "none";
  const title = code ? `0x${code.toString(16).padStart(4, "0")} ${CODES[code] ?? ""}`.trim() : undefined;
  const text = stale ? t("quality.stale") : named("quality", quality);
  return level === "none" ? (
    <span class="quiet" title={title}>
      {text}
    </span>
  ) : (
    <Badge level={level} title={title}>
      {text}
    </Badge>
  );
}

/** An age that counts by itself. */
export function Age({ since_us }: { since_us: number }): JSX.Element {
  return (
    <time dateTime={new Date(since_us / 1000).toISOString()} title={fullTime(since_us)}>
      {duration(Math.max(0, now.value - since_us))}
    </time>
  );
}

export function Time({ us }: { us: number | null | undefined }): JSX.Element {
  if (!us) return <span>–</span>;
  return (
    <time dateTime={new Date(us / 1000).toISOString()} title={fullTime(us)}>
      {time(us)}
    </time>
  );
}

/** Name of a machine with its place before it, as a link. */
export function DeviceLink({ path, place = true }: { path: string; place?: boolean }): JSX.Element {
  if (!path) return <span class="quiet">–</span>;
  return (
    <a class="place" href={href("device", path)}>
      {nameOf(path)}
      {place && (
        <span class="quiet where">
          <Unbroken text={placeOf(parentOf(path))} />
        </span>
      )}
    </a>
  );
}

const WHOLE = 24;

/** A text whose names stay on one line: browsers break `gw-north-1` behind its hyphens. */
export function Unbroken({ text }: { text: string }): JSX.Element {
  const parts = text.split(/([^\s-]+-\S+)/);
  return (
    <>{parts.map((part, at) => (at % 2 === 1 && part.length <= WHOLE ? <span class="whole">{part}</span> : part))}</>
  );
}

export function TagName({ path }: { path: string }): JSX.Element {
  return <>{words(nameOf(path))}</>;
}

export function cause(problem: Problem): string {
  if (problem.status === 0) return t("app.unreachable");
  if (problem.status === 401 || problem.status === 403) return problem.detail || t("app.forbidden");
  return (
    problem.detail ||
    (problem.code === "UNAVAILABLE" ? t("problem.UNAVAILABLE") : problem.title) ||
    String(problem.status)
  );
}

/** What went wrong, for people, of whatever was thrown. */
export function causeOf(error: unknown): string {
  return error instanceof Problem ? cause(error) : String(error);
}

/** What went wrong; otherwise why something cannot be done. A reader for the blind says the text when it comes, so the place is there before it. */
export function Wrong({
  wrong,
  off = "",
  role = "alert",
}: {
  wrong: string;
  off?: string;
  role?: "alert" | "status";
}): JSX.Element {
  return (
    <p class="wrong" role={role}>
      {wrong && <Mark level="warn" />}
      {wrong || off}
    </p>
  );
}

/** Where a dialog asks why: what is said stays with what is done. */
export function WhyField({ reason, set }: { reason: string; set: (reason: string) => void }): JSX.Element {
  return (
    <label>
      <span>{t("alarms.why")}</span>
      <input type="text" maxLength={500} value={reason} autofocus onInput={(event) => set(event.currentTarget.value)} />
      <small class="quiet">{t("alarms.whyHint")}</small>
    </label>
  );
}

export function Failure({ problem, again }: { problem: Problem; again?: () => void }): JSX.Element {
  return (
    <p class="note failure" role="alert">
      <Mark level="warn" />
      <span>{t("app.failed", { cause: cause(problem) })}</span>
      {again && (
        <button type="button" class="plain" onClick={again}>
          {t("app.retry")}
        </button>
      )}
    </p>
  );
}

/** What stands where data is not there: why, or that it loads. */
export function Rest({
  loading,
  problem,
  again,
  empty,
}: {
  loading: boolean;
  problem?: Problem | undefined;
  again?: () => void;
  empty: string;
}): JSX.Element {
  if (problem) return <Failure problem={problem} {...(again ? { again } : {})} />;
  return <p class="note">{loading ? t("app.loading") : empty}</p>;
}

export function Panel({
  title,
  extra,
  children,
  className = "",
}: {
  title: string;
  extra?: ComponentChildren;
  children: ComponentChildren;
  className?: string;
}): JSX.Element {
  return (
    <section class={`panel ${className}`}>
      <header>
        <h2>{title}</h2>
        {extra}
      </header>
      {children}
    </section>
  );
}

/** A table that scrolls by itself when the screen is narrow. */
export function Table({
  label,
  head,
  children,
  className = "",
}: {
  label: string;
  head: (ComponentChildren | [ComponentChildren, string])[];
  children: ComponentChildren;
  className?: string;
}): JSX.Element {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table class={className} role="table">
        <thead role="rowgroup">
          <tr role="row">
            {head.map((one) =>
              Array.isArray(one) ? (
                <th scope="col" role="columnheader" class={one[1]}>
                  {one[0]}
                </th>
              ) : (
                <th scope="col" role="columnheader">
                  {one}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody role="rowgroup">{children}</tbody>
      </table>
    </div>
  );
}

export function Tabs({
  label,
  items,
  chosen,
}: {
  label: string;
  items: { key: string; text: string; href: string }[];
  chosen: string;
}): JSX.Element {
  return (
    <nav class="tabs" aria-label={label}>
      {items.map((item) => (
        <a href={item.href} aria-current={item.key === chosen ? "true" : undefined}>
          {item.text}
        </a>
      ))}
    </nav>
  );
}

export function stageName(name: string): string {
  return named("stage", name);
}

export function key(text: string): Key {
  return text as Key;
}
