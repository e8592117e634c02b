// One machine: its state, its values with unit, quality, age and range, what it takes, what is wrong with it.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { encoded, get } from "../api/http";
import type { ChartSeries, Command, Device, PlantEvent, Tag } from "../api/types";
import { decimals, number, unit, withUnit, words } from "../format";
import { named, t } from "../i18n";
import { href, nameOf, route } from "../route";
import { openAnomalies } from "../state/anomalies";
import { serverNow } from "../state/clock";
import { followed } from "../state/commands";
import { learn } from "../state/units";
import { fill, remember, TRACE_US, valueOf, watch } from "../state/values";
import { Age, Badge, CommandBadge, PackmlBadge, Panel, QualityText, Rest, Table, Time } from "../ui/bits";
import { Bar } from "../ui/bar";
import { Crumbs } from "../ui/crumbs";
import { useLoad, useSubscription, useTitle, useWhile } from "../ui/hooks";
import { Icon, Mark } from "../ui/icons";
import { isAnalogue, isStale, levelOf, PACKML, PACKML_COMMANDS, reasonOf } from "../ui/level";
import { Spark } from "../ui/spark";
import { DeviceAlarms } from "./alarms";
import { EpisodeReasons } from "./episode";
import { CommandDialog, commandsOff } from "./order";

const EVERY_MS = 10_000;
const CHART_TAGS = 20;

export function DevicePage(): JSX.Element {
  const { path } = route.value;
  useTitle(nameOf(path));
  const device = useLoad(
    async (cancel) => {
      const found = await get<Device>(`devices/by-path/${encoded(path)}`, {}, cancel);
      remember(found.tags ?? []);
      learn(found.tags ?? []);
      return found;
    },
    [path],
    EVERY_MS,
  );
  useWhile(() => watch([path]), [path]);
  const found = device.data;
  const drawn =
    found?.tags
      .filter(isAnalogue)
      .slice(0, CHART_TAGS)
      .map((tag) => tag.tag_id) ?? [];
  useLoad(
    async (cancel) => {
      if (!drawn.length) return;
      const now = Math.round(serverNow());
      const past = await get<{ series: ChartSeries[] }>(
        "chart",
        { tag_id: drawn, start_us: now - TRACE_US, end_us: now, pixels: 120 },
        cancel,
      );
      for (const series of past.series) fill(series.tag_id, series.time_us, series.value);
    },
    [path, drawn.length > 0],
  );
  if (!found)
    return (
      <>
        <header class="page">
          <Crumbs path={path} />
          <h1>{nameOf(path)}</h1>
        </header>
        <Rest
          loading={device.loading}
          problem={device.problem}
          again={device.again}
          empty={t("device.notfound", { path })}
        />
      </>
    );
  return <Machine device={found} />;
}

function Machine({ device }: { device: Device }): JSX.Element {
  const [ordering, order] = useState(false);
  const off = commandsOff();
  const measured = device.tags.filter((tag) => isAnalogue(tag) && !tag.writable);
  const setpoints = device.tags.filter((tag) => tag.writable);
  const others = device.tags.filter((tag) => !tag.writable && !isAnalogue(tag));
  return (
    <>
      <header class="page">
        <Crumbs path={device.path} />
        <h1>{nameOf(device.path)}</h1>
        <span class="facts">
          <PackmlBadge state={livePackml(device)} />
          {device.state === "ONLINE" ? (
            <span class="quiet">{t("state.ONLINE")}</span>
          ) : (
            <Badge level={device.state === "OFFLINE" ? "alarm" : "stale"}>{named("state", device.state)}</Badge>
          )}
          <span class="quiet">{words(device.device_class)}</span>
          <span class="quiet">
            {t("device.gateway")} {device.gateway_id}
          </span>
        </span>
        <span class="actions">
          <a class="button" href={href("trends", "", { tag: measured.slice(0, 8).map((tag) => tag.path) })}>
            <Icon name="trends" />
            {t("nav.trends")}
          </a>
          {device.commands?.length > 0 && (
            <button type="button" class="primary" disabled={!!off} title={off} onClick={() => order(true)}>
              <Icon name="commands" />
              {t("device.command")}
            </button>
          )}
        </span>
      </header>
      <div class="columns wide-left">
        <div>
          <Values title={t("device.values")} tags={measured} />
          <Values title={t("device.setpoints")} tags={setpoints} />
          <Values title={t("device.states")} tags={others} />
        </div>
        <div>
          <DeviceAlarms path={device.path} />
          <Episodes device={device} />
          <Orders device={device} />
          <Events device={device} />
        </div>
      </div>
      {ordering && <CommandDialog device={device} close={() => order(false)} />}
    </>
  );
}

/** The state as its tag says now; the record of the machine is some seconds old. */
function livePackml(device: Device): string {
  const tag = device.tags.find((one) => one.name === "packml_state");
  const value = tag ? valueOf(tag.tag_id).value?.value : undefined;
  return (typeof value === "number" ? PACKML[value] : undefined) ?? device.packml_state;
}

function Values({ title, tags }: { title: string; tags: Tag[] }): JSX.Element | null {
  if (!tags.length) return null;
  const head: (string | [string, string])[] = [
    t("device.measurement"),
    [t("device.value"), "figure"],
    ["", "unit"],
    [t("device.range"), "middle"],
    [t("device.trend"), "middle wide"],
    t("device.quality"),
    [t("device.age"), "figure"],
  ];
  return (
    <Panel title={title} className="flush">
      <Table label={title} head={head} className="live">
        {tags.map((tag) => (
          <Row tag={tag} />
        ))}
      </Table>
    </Panel>
  );
}

function Row({ tag }: { tag: Tag }): JSX.Element {
  const value = valueOf(tag.tag_id).value ?? tag.last ?? undefined;
  const level = levelOf(tag, value);
  const stale = !!value && isStale(tag, value);
  const reason = level === "alarm" || level === "warn" ? reasonOf(tag, value?.value ?? null) : "";
  return (
    <tr class={level}>
      <th scope="row">
        <a href={href("trends", "", { tag: tag.path })} title={tag.expression ? `${tag.description} = ${tag.expression}` : tag.description}>
          {words(tag.name)}
        </a>
      </th>
      <td class={`figure number ${level}`}>
        <Mark level={level} />
        {value ? shown(tag, value.value) : <span class="quiet">{t("device.never")}</span>}
      </td>
      <td class="unit">{unit(tag.unit)}</td>
      <td class="middle">
        <Bar tag={tag} value={value?.value ?? null} level={level} />
        {isAnalogue(tag) && <RangeText tag={tag} />}
      </td>
      <td class="middle wide">{isAnalogue(tag) && <Spark tag={tag} />}</td>
      <td>
        {value && <QualityText quality={value.quality} code={value.quality_code} stale={stale} />}
        {reason && <span class={`why ${level}`}>{t(reason)}</span>}
      </td>
      <td class="figure age">{value && <Age since_us={value.time_us} />}</td>
    </tr>
  );
}

function RangeText({ tag }: { tag: Tag }): JSX.Element {
  return (
    <span class="range-text" aria-hidden="true">
      <span>{number(tag.eu_low)}</span>
      <span>{number(tag.eu_high)}</span>
    </span>
  );
}

/** A value as its tag means it: states and commands by name, booleans in words, numbers with the digits they are worth. */
export function shown(tag: Tag, value: number | null): string {
  if (value === null) return "–";
  if (tag.name === "packml_state" && PACKML[value]) return named("packml", PACKML[value]);
  if (tag.name === "packml_command")
    return PACKML_COMMANDS[value] ? named("verb", PACKML_COMMANDS[value]) : t("app.none");
  if (tag.data_type === "BOOLEAN") return t(value ? "commands.on" : "commands.off");
  return number(value, decimals(tag));
}

function Episodes({ device }: { device: Device }): JSX.Element {
  const open = openAnomalies.value.filter((one) => one.device_id === device.device_id);
  return (
    <Panel
      title={t("overview.anomalies")}
      extra={<a href={href("anomalies", "", { prefix: device.path })}>{t("app.all")}</a>}
    >
      {open.length === 0 && <p class="note">{t("device.noAnomalies")}</p>}
      {open.map((one) => (
        <div class="episode">
          <p>
            <Badge level="warn">{number(one.score, 2)}</Badge>{" "}
            <span class="quiet">
              {t("anomalies.since")} <Time us={one.start_us} />
            </span>
          </p>
          <EpisodeReasons anomaly={one} />
        </div>
      ))}
    </Panel>
  );
}

function Orders({ device }: { device: Device }): JSX.Element {
  const listed = useLoad(
    async (cancel) =>
      (await get<{ commands: Command[] }>("commands", { prefix: device.path, page_size: 8 }, cancel)).commands,
    [device.path],
    20_000,
  );
  const heard = [...followed.value.values()]
    .map((one) => one.command)
    .filter((one) => one.device_id === device.device_id);
  const all = new Map([...(listed.data ?? []), ...heard].map((one) => [one.command_id, one]));
  const newest = [...all.values()].sort((a, b) => b.submitted_us - a.submitted_us).slice(0, 6);
  return (
    <Panel
      title={t("device.recent")}
      extra={<a href={href("commands", "", { prefix: device.path })}>{t("app.all")}</a>}
    >
      {!newest.length && <Rest loading={listed.loading} problem={listed.problem} empty={t("device.noCommands")} />}
      <ul class="plain-list">
        {newest.map((one) => (
          <li>
            <a href={href("command", one.command_id)}>
              <span>{orderText(one.name, one.parameters, device.tags)}</span>{" "}
              <span class="quiet">
                <Time us={one.submitted_us} />
              </span>
            </a>
            <CommandBadge state={one.state} provisional={one.provisional} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** A command in words: its verb, or what it sets. */
export function orderText(name: string, parameters: Record<string, number>, tags: Tag[] = []): string {
  const entries = Object.entries(parameters ?? {});
  if (name !== "write" || !entries.length) return named("verb", name);
  return entries
    .map(([key, value]) => {
      const tag = tags.find((one) => one.name === key);
      return `${words(key)} = ${tag ? (tag.data_type === "DOUBLE" ? withUnit(value, tag.unit) : shown(tag, value)) : number(value)}`;
    })
    .join(", ");
}

function Events({ device }: { device: Device }): JSX.Element {
  const events = useLoad(
    async (cancel) =>
      (await get<{ events: PlantEvent[] }>("events", { prefix: device.path, page_size: 8 }, cancel)).events,
    [device.path],
    30_000,
  );
  useSubscription({ what: "events", prefix: device.path }, () => events.again());
  return (
    <Panel title={t("device.events")} extra={<a href={href("events", "", { prefix: device.path })}>{t("app.all")}</a>}>
      {!events.data?.length && <Rest loading={events.loading} problem={events.problem} empty={t("device.noEvents")} />}
      <ul class="plain-list">
        {events.data?.map((one) => (
          <li>
            <span>
              <b>{named("event", one.kind)}</b> {one.text}
            </span>
            <span class="quiet">
              <Time us={one.time_us} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
