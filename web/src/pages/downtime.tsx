// When machines stood and why: a strip of states for each machine, stops with their reasons, which people give, split and merge; reasons by weight.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, pages } from "../api/http";
import type { Downtime, StateInterval } from "../api/work";
import { count, duration, fullTime, time } from "../format";
import { named, t } from "../i18n";
import { range, spanOf } from "../range";
import { href, nameOf, parentOf, route } from "../route";
import { whoIs } from "../state/people";
import { Badge, DeviceLink, Panel, Rest, Table, Time } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import { packmlLevel } from "../ui/level";
import { PlaceHead } from "../ui/place";
import { RangePicker, Toggle } from "./filters";
import { ReasonDialog, type Span } from "./reason";

const EVERY_MS = 30_000;
const SHOWN = 200;
const MOST = 5000;
/** States by how they are drawn: what is normal is quiet, what needs somebody stands out. */
const KINDS: Record<string, string> = {
  EXECUTE: "run",
  COMPLETING: "run",
  IDLE: "idle",
  COMPLETE: "idle",
  RESETTING: "idle",
  STARTING: "idle",
  HELD: "held",
  HOLDING: "held",
  UNHOLDING: "held",
  SUSPENDED: "held",
  SUSPENDING: "held",
  UNSUSPENDING: "held",
  ABORTED: "fault",
  ABORTING: "fault",
  CLEARING: "fault",
};
const LEGEND = ["run", "idle", "held", "stop", "fault", "unknown"] as const;

export function kindOf(state: string): string {
  return KINDS[state] ?? "stop";
}

export function DowntimePage(): JSX.Element {
  const { path, query } = route.value;
  useTitle(path ? `${t("down.title")} ${nameOf(path)}` : t("down.title"));
  const [asked, ask] = useState<Span | undefined>(undefined);
  const [chosen, choose] = useState<Downtime[]>([]);
  const { start_us, end_us, key } = spanOf();
  const stops = useLoad(
    (cancel) => pages<Downtime>("work/downtimes", "downtimes", { scope: path, start_us, end_us }, MOST, cancel),
    [path, key],
    EVERY_MS,
  );
  const open = query.get("open") === "1";
  const listed = (stops.data ?? []).filter((one) => !open || !one.reason).sort((a, b) => b.start_us - a.start_us);
  const done = (): void => {
    ask(undefined);
    choose([]);
    stops.again();
  };
  const mergeable = chosen.length > 1 && new Set(chosen.map((one) => one.device_path)).size === 1;
  return (
    <>
      <PlaceHead page="down" title={t("down.title")} path={path} />
      <div class="filters">
        <RangePicker />
        <Toggle name="open" label={t("down.onlyOpen")} />
      </div>
      <Timeline path={path} choose={ask} stops={stops.data ?? []} />
      <div class="columns wide-left">
        <Panel
          title={t("down.stops")}
          className="flush"
          extra={
            chosen.length > 1 ? (
              <button
                type="button"
                disabled={!mergeable}
                title={mergeable ? "" : t("down.oneMachine")}
                onClick={() => ask(together(chosen))}
              >
                {t("down.merge", { count: chosen.length })}
              </button>
            ) : (
              <span class="quiet">{count(listed.length)}</span>
            )
          }
        >
          {!listed.length ? (
            <Rest loading={stops.loading} problem={stops.problem} again={stops.again} empty={t("down.none")} />
          ) : (
            <Table
              label={t("down.stops")}
              className="list stops"
              head={[
                <span class="hidden">{t("down.choose")}</span>,
                t("dq.machine"),
                t("down.since"),
                [t("anomalies.duration"), "figure"],
                t("commands.state"),
                t("down.reason"),
                "",
              ]}
            >
              {listed.slice(0, SHOWN).map((one) => (
                <Stop
                  stop={one}
                  on={chosen.some((other) => same(one, other))}
                  toggle={(on) => choose(on ? [...chosen, one] : chosen.filter((other) => !same(one, other)))}
                  ask={() => ask(together([one]))}
                />
              ))}
            </Table>
          )}
          {listed.length > SHOWN && <p class="note quiet">{t("down.more", { count: listed.length - SHOWN })}</p>}
        </Panel>
        <Pareto stops={stops.data ?? []} />
      </div>
      {asked && <ReasonDialog span={asked} close={() => ask(undefined)} done={done} />}
    </>
  );
}

function same(a: Downtime, b: Downtime): boolean {
  return a.device_path === b.device_path && a.start_us === b.start_us;
}

/** One range over all of them, which a word on merges. */
function together(stops: Downtime[]): Span {
  const first = stops[0] as Downtime;
  return {
    device_path: first.device_path,
    start_us: Math.min(...stops.map((one) => one.start_us)),
    end_us: Math.max(...stops.map((one) => one.end_us)),
    reason: stops.length === 1 ? first.reason : "",
  };
}

function Stop({
  stop,
  on,
  toggle,
  ask,
}: {
  stop: Downtime;
  on: boolean;
  toggle: (on: boolean) => void;
  ask: () => void;
}): JSX.Element {
  return (
    <tr class={on ? "chosen" : ""}>
      <td>
        <input
          type="checkbox"
          checked={on}
          aria-label={t("down.chooseThis", { device: nameOf(stop.device_path), time: time(stop.start_us) })}
          onChange={(event) => toggle(event.currentTarget.checked)}
        />
      </td>
      <th scope="row">
        <DeviceLink path={stop.device_path} place={false} />
      </th>
      <td>
        <Time us={stop.start_us} />
      </td>
      <td class="figure">{duration(stop.end_us - stop.start_us)}</td>
      <td>
        {stop.packml_state ? (
          <Badge level={packmlLevel(stop.packml_state)}>{named("packml", stop.packml_state)}</Badge>
        ) : (
          <span class="quiet">{t("down.unknown")}</span>
        )}
      </td>
      <td class="text">
        {stop.reason ? (
          <>
            {stop.reason.replaceAll("/", " / ")}
            {stop.planned && <span class="quiet"> {t("down.planned")}</span>}
            <span class="quiet small">{whoIs(stop.entered_by) || t("down.automatic")}</span>
          </>
        ) : (
          <span class="quiet">{t("down.noReason")}</span>
        )}
      </td>
      <td class="actions">
        <button type="button" onClick={ask}>
          {t(stop.reason ? "down.change" : "down.give")}
        </button>
      </td>
    </tr>
  );
}

function Pareto({ stops }: { stops: Downtime[] }): JSX.Element {
  const groups = [...Map.groupBy(stops, (one) => one.reason || named("packml", one.packml_state || "UNDEFINED"))]
    .map(([reason, all]) => ({
      reason,
      given: !!all[0]?.reason,
      planned: all.every((one) => one.planned),
      times: all.length,
      us: all.reduce((sum, one) => sum + one.end_us - one.start_us, 0),
    }))
    .sort((a, b) => b.us - a.us);
  const whole = groups.reduce((all, one) => all + one.us, 0);
  const most = groups[0]?.us ?? 1;
  let sum = 0;
  return (
    <Panel title={t("down.pareto")}>
      {!groups.length ? (
        <p class="note">{t("down.none")}</p>
      ) : (
        <ol class="pareto">
          {groups.slice(0, 12).map((one) => {
            sum += one.us;
            return (
              <li>
                <span class="what">
                  {one.reason.replaceAll("/", " / ")}
                  {!one.given && <span class="quiet"> {t("down.noReason")}</span>}
                </span>
                <span class="track" aria-hidden="true">
                  <span class={one.planned ? "planned" : ""} style={{ width: `${(one.us / most) * 100}%` }} />
                </span>
                <span class="figure">
                  {duration(one.us)} · {t("down.times", { count: one.times })}
                  <span class="quiet"> {Math.round((sum / whole) * 100)} %</span>
                </span>
              </li>
            );
          })}
        </ol>
      )}
    </Panel>
  );
}

function Timeline({
  path,
  stops,
  choose,
}: {
  path: string;
  stops: Downtime[];
  choose: (span: Span) => void;
}): JSX.Element {
  const { start_us, end_us, key } = spanOf();
  const found = useLoad(
    async (cancel) =>
      (await get<{ intervals: StateInterval[] }>("states", { prefix: path, start_us, end_us }, cancel)).intervals,
    [path, key],
    EVERY_MS,
  );
  const shown = range.value;
  const machines = [...Map.groupBy(found.data ?? [], (one) => one.device_path)].sort(([a], [b]) =>
    a.localeCompare(b, undefined, { numeric: true }),
  );
  const whole = shown.end_us - shown.start_us;
  const place = (us: number): number => (Math.min(Math.max(us - shown.start_us, 0), whole) / whole) * 100;
  return (
    <Panel title={t("down.timeline")}>
      {!machines.length ? (
        <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("down.noStates")} />
      ) : (
        <>
          <ul class="timeline">
            {machines.map(([device, intervals]) => (
              <li>
                <a href={href("down", device)} title={parentOf(device)}>
                  {nameOf(device)}
                </a>
                <span class="strip-of" role="img" aria-label={spoken(intervals)}>
                  {intervals.map((one) => (
                    <span
                      class={`state ${kindOf(one.packml_state)}`}
                      title={`${named("packml", one.packml_state)} · ${fullTime(one.start_us)} · ${duration(one.end_us - one.start_us)}${reasonAt(stops, one)}`}
                      style={{ left: `${place(one.start_us)}%`, width: `${place(one.end_us) - place(one.start_us)}%` }}
                      onClick={() => {
                        const stop = stops.find((other) => other.device_path === one.device_path && overlap(other, one));
                        if (stop) choose(together([stop]));
                      }}
                    />
                  ))}
                </span>
              </li>
            ))}
          </ul>
          <div class="axis" aria-hidden="true">
            {[0, 0.25, 0.5, 0.75, 1].map((part) => (
              <span>{time(shown.start_us + whole * part, false)}</span>
            ))}
          </div>
          <ul class="legend">
            {LEGEND.map((kind) => (
              <li>
                <span class={`swatch state ${kind}`} aria-hidden="true" />
                {named("down", kind)}
              </li>
            ))}
          </ul>
        </>
      )}
    </Panel>
  );
}

function overlap(stop: Downtime, one: StateInterval): boolean {
  return stop.start_us < one.end_us && stop.end_us > one.start_us;
}

function reasonAt(stops: Downtime[], one: StateInterval): string {
  const stop = stops.find((other) => other.device_path === one.device_path && other.reason && overlap(other, one));
  return stop ? ` · ${stop.reason}` : "";
}

/** What the strip shows, for who does not see it. */
function spoken(intervals: StateInterval[]): string {
  return [...Map.groupBy(intervals, (one) => kindOf(one.packml_state))]
    .map(
      ([kind, all]) =>
        `${named("down", kind)} ${duration(all.reduce((sum, one) => sum + one.end_us - one.start_us, 0))}`,
    )
    .join(", ");
}

