// Trends of several measurements: one chart for each unit, the same range for all, with alarms, anomalies, commands and recomputed windows over
// them.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { address, encoded, get, pages } from "../api/http";
import type { AlarmActivation, Anomaly, ChartSeries, Command, Tag } from "../api/types";
import { Chart, PENS } from "../chart/chart";
import { figures, grouped, repairedSpans, type Group } from "../chart/data";
import { saveCsv, savePng } from "../chart/export";
import type { Overlays } from "../chart/overlays";
import { count, number, unit, windowLength, words } from "../format";
import { named, t } from "../i18n";
import { iso, range } from "../range";
import { go, here, href, nameOf, parentOf, route } from "../route";
import { alarmChanges, alarmCounts, PRIORITIES } from "../state/alarms";
import { now } from "../state/clock";
import { Rest, Table } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import { Icon } from "../ui/icons";
import { PrioritySign } from "../ui/priority";
import { RangePicker } from "./filters";
import { AlarmList, alarmsWithin, NO_ALARMS } from "./trend-alarms";
import { TagPicker } from "./tagpicker";

export const MOST = 8;
const FRESH_MS = 2000;

export function Trends(): JSX.Element {
  useTitle(t("nav.trends"));
  const chosen = route.value.query.getAll("tag").slice(0, MOST);
  return (
    <>
      <header class="page">
        <h1>{t("nav.trends")}</h1>
      </header>
      <div class="filters">
        <RangePicker zooms />
      </div>
      <TagPicker chosen={chosen} />
      {chosen.length ? <Charts chosen={chosen} /> : <p class="note">{t("trends.empty")}</p>}
    </>
  );
}

function Charts({ chosen }: { chosen: string[] }): JSX.Element {
  const { start_us, end_us, live } = range.value;
  const span = end_us - start_us;
  // A live chart is fetched anew about as often as it moves by a pixel.
  const pace = live ? Math.max(FRESH_MS, Math.min(60_000, span / 1e6)) : 0;
  const pixels = Math.min(2000, Math.max(300, Math.round((document.querySelector("main")?.clientWidth ?? 1000) - 80)));
  const limits = live
    ? { start_us: Math.round(now.peek() - span), end_us: undefined }
    : { start_us: Math.round(start_us), end_us: Math.round(end_us) };
  const key = live ? [span] : [start_us, end_us];
  const tags = useLoad(
    async (cancel) => Promise.all(chosen.map((path) => get<Tag>(`tags/by-path/${encoded(path)}`, {}, cancel))),
    [chosen],
  );
  const charts = useLoad(
    async (cancel) => {
      const start = live ? Math.round(now.peek() - span) : limits.start_us;
      return (
        await get<{ series: ChartSeries[] }>(
          "chart",
          { prefix: chosen, start_us: start, end_us: limits.end_us, pixels },
          cancel,
        )
      ).series;
    },
    [chosen, key, pixels],
    pace,
  );
  const devices = [...new Set(chosen.map(parentOf))];
  const marks = useLoad(
    async (cancel) => {
      const start = live ? Math.round(now.peek() - span) : limits.start_us;
      const each = devices.map((prefix) =>
        Promise.all([
          pages<Anomaly>("anomalies", "anomalies", { prefix, start_us: start, end_us: limits.end_us }, 500, cancel),
          pages<Command>("commands", "commands", { prefix, since_us: start, until_us: limits.end_us }, 500, cancel),
        ]),
      );
      const found = await Promise.all(each);
      return { anomalies: found.flatMap(([one]) => one), commands: found.flatMap(([, one]) => one) };
    },
    [devices, key],
    pace ? Math.max(pace, 5000) : 0,
  );

  const alarmsOn = !!alarmCounts.value;
  const held = useLoad(
    async (cancel) => {
      if (!alarmsOn) return NO_ALARMS;
      const start = live ? Math.round(now.peek() - span) : limits.start_us;
      return await alarmsWithin(devices, start, limits.end_us, cancel);
    },
    [devices, key, alarmsOn],
    pace ? Math.max(pace, 5000) : 0,
  );
  useEffect(() => {
    if (live && alarmChanges.value) held.again();
  }, [alarmChanges.value]);
  const [pointed, point] = useState("");
  const alarms = held.data ?? NO_ALARMS;

  const series = charts.data ?? [];
  const groups = grouped(series, chosen);
  if (!groups.length)
    return <Rest loading={charts.loading} problem={charts.problem} again={charts.again} empty={t("trends.nodata")} />;
  const name = `millrace-${iso(start_us).replaceAll(":", "")}`;
  return (
    <>
      {charts.problem && <Rest loading={false} problem={charts.problem} again={charts.again} empty="" />}
      <div class="charts">
        {groups.map((group) => (
          <One
            group={group}
            overlays={overlaysOf(group, marks.data, alarms.activations, pointed)}
            start_us={start_us}
            end_us={end_us}
            alone={groups.length}
          />
        ))}
      </div>
      <Legend marks={marks.data} alarms={alarms.activations} repaired={repairedSpans(series).length > 0} />
      <AlarmList held={alarms} problem={held.problem} again={held.again} point={point} />
      <div class="filters export" role="group" aria-label={t("trends.export")}>
        <button type="button" onClick={() => saveCsv(series, name)}>
          {t("trends.csvShown")}
        </button>
        <button type="button" onClick={() => savePng(groups.map(titleOf), name)}>
          {t("trends.png")}
        </button>
        <a
          class="button"
          download
          href={address("samples", {
            tag_id: series.map((one) => one.tag_id),
            start_us: limits.start_us,
            end_us: limits.end_us ?? Math.round(end_us),
            format: "csv",
          })}
        >
          {t("trends.csvSamples")}
        </a>
        <a
          class="button"
          download
          href={address("samples", {
            tag_id: series.map((one) => one.tag_id),
            start_us: limits.start_us,
            end_us: limits.end_us ?? Math.round(end_us),
            format: "parquet",
          })}
        >
          {t("trends.parquet")}
        </a>
      </div>
      <Figures series={series} chosen={chosen} tags={tags.data ?? []} />
      <p class="note quiet help">{t("trends.help")}</p>
    </>
  );
}

function overlaysOf(
  group: Group,
  marks: { anomalies: Anomaly[]; commands: Command[] } | undefined,
  alarms: AlarmActivation[],
  pointed: string,
): Overlays {
  const devices = new Set(group.curves.map((one) => parentOf(one.series.path)));
  // An alarm of a gateway explains why a machine behind it has no values.
  const own = (one: AlarmActivation): boolean =>
    !one.device_id || [...devices].some((path) => one.path === path || one.path.startsWith(`${path}/`));
  return {
    alarms: alarms.filter(own),
    pointed,
    anomalies: (marks?.anomalies ?? []).filter((one) => devices.has(one.device_path)),
    commands: (marks?.commands ?? []).filter((one) => devices.has(one.device_path)),
    repaired: repairedSpans(group.curves.map((one) => one.series)),
  };
}

function titleOf(group: Group): string {
  return `${group.curves.map((one) => `${nameOf(parentOf(one.series.path))} ${words(nameOf(one.series.path))}`).join(", ")} ${unit(group.unit) ? `[${unit(group.unit)}]` : ""}`;
}

function One({
  group,
  overlays,
  start_us,
  end_us,
  alone,
}: {
  group: Group;
  overlays: Overlays;
  start_us: number;
  end_us: number;
  alone: number;
}): JSX.Element {
  const height = alone === 1 ? 380 : alone === 2 ? 260 : 190;
  const empty = group.curves.every((one) => !one.series.time_us.length);
  return (
    <section class="panel chart-panel">
      <header>
        <h2 class="pens">
          {group.curves.map((one) => (
            <span class={`pen pen-${one.pen % PENS}`}>
              <i aria-hidden="true" />
              <a href={href("device", parentOf(one.series.path))}>{nameOf(parentOf(one.series.path))}</a>{" "}
              {words(nameOf(one.series.path))}
            </span>
          ))}
        </h2>
        <span class="quiet unit-of">{unit(group.unit)}</span>
      </header>
      {empty ? (
        <p class="note">{t("trends.nodata")}</p>
      ) : (
        <Chart group={group} overlays={overlays} start_us={start_us} end_us={end_us} height={height} />
      )}
    </section>
  );
}

/** What the marks mean; only of those that there are. */
function Legend({
  marks,
  alarms,
  repaired,
}: {
  marks: { anomalies: Anomaly[]; commands: Command[] } | undefined;
  alarms: AlarmActivation[];
  repaired: boolean;
}): JSX.Element {
  return (
    <p class="legend quiet">
      {PRIORITIES.filter((priority) => alarms.some((one) => one.priority === priority)).map((priority) => (
        <span>
          <PrioritySign priority={priority} kind="new" size={16} />
          {t("trends.alarm", { priority: named("priority", priority) })} (
          {count(alarms.filter((one) => one.priority === priority).length)})
        </span>
      ))}
      {alarms.length > 0 && (
        <span>
          <i class="alarm-new" aria-hidden="true" />
          {t("alarms.fresh")}
          <i class="alarm-noted" aria-hidden="true" />
          {t("trends.alarmNoted")}
        </span>
      )}
      {!!marks?.anomalies.length && (
        <span>
          <i class="band" aria-hidden="true" />
          {t("trends.anomaly")} ({count(marks.anomalies.length)})
        </span>
      )}
      {!!marks?.commands.length && (
        <span>
          <i class="command" aria-hidden="true" />
          {t("trends.commandMark")} ({count(marks.commands.length)})
        </span>
      )}
      {repaired && (
        <span>
          <i class="repaired" aria-hidden="true" />
          {t("trends.repaired")}
        </span>
      )}
    </p>
  );
}

function Figures({ series, chosen, tags }: { series: ChartSeries[]; chosen: string[]; tags: Tag[] }): JSX.Element {
  const sorted = [...series].sort((a, b) => chosen.indexOf(a.path) - chosen.indexOf(b.path));
  return (
    <section class="panel flush">
      <header>
        <h2>{t("trends.table")}</h2>
      </header>
      <Table
        label={t("trends.table")}
        head={[
          t("device.measurement"),
          [t("trends.latest"), "figure"],
          [t("trends.mean"), "figure"],
          [t("trends.least"), "figure"],
          [t("trends.largest"), "figure"],
          ["", "unit"],
          t("device.range"),
          t("trends.source"),
          [t("trends.points"), "figure"],
          "",
        ]}
      >
        {sorted.map((one) => {
          const found = figures(one);
          const tag = tags.find((item) => item.path === one.path);
          return (
            <tr>
              <th scope="row">
                <span class={`pen pen-${chosen.indexOf(one.path) % PENS}`}>
                  <i aria-hidden="true" />
                  {words(nameOf(one.path))} <span class="quiet">{nameOf(parentOf(one.path))}</span>
                </span>
              </th>
              <td class="figure">{number(found.latest)}</td>
              <td class="figure">{number(found.mean)}</td>
              <td class="figure">{number(found.min)}</td>
              <td class="figure">{number(found.max)}</td>
              <td class="unit">{unit(one.unit)}</td>
              <td>
                {tag && (
                  <span class="quiet">
                    {number(tag.eu_low)} – {number(tag.eu_high)}
                  </span>
                )}
              </td>
              <td class="quiet">
                {one.source === "windows"
                  ? t("trends.windows", { window: windowLength(one.window_s) })
                  : t("trends.samples")}
              </td>
              <td class="figure quiet">{count(found.points)}</td>
              <td>
                <button
                  type="button"
                  class="plain icon-only"
                  aria-label={t("trends.remove", { name: nameOf(one.path) })}
                  title={t("trends.remove", { name: nameOf(one.path) })}
                  onClick={() => go(here({ tag: chosen.filter((path) => path !== one.path) }))}
                >
                  <Icon name="close" size={14} />
                </button>
              </td>
            </tr>
          );
        })}
      </Table>
    </section>
  );
}
