// The alarm summary: the calm list by cause, all alarms one by one, what people have put aside, and figures. The most urgent first.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { get } from "../api/http";
import type { Alarm, AlarmCounts, AlarmEvaluation, AlarmLine, PriorityName } from "../api/types";
import { count } from "../format";
import { named, t } from "../i18n";
import { here, href, route } from "../route";
import { alarmChanges, alarmCounts, alarmsOff, PRIORITIES } from "../state/alarms";
import { Failure, Panel, Rest, Tabs } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import { Mark } from "../ui/icons";
import { AlarmFiguresView } from "./alarm-figures";
import { AlarmItem } from "./alarm-item";
import { Choice, PartPicker, RangePicker } from "./filters";

const PAGE = 200;
const EVERY_MS = 30_000;
const VIEWS = ["calm", "all", "aside", "figures"] as const;
type View = (typeof VIEWS)[number];
const ASIDE = ["SHELVED", "OUT_OF_SERVICE", "SUPPRESSED"];

interface Found {
  lines?: AlarmLine[];
  alarms?: Alarm[];
  next_page_token?: string;
  counts: AlarmCounts;
  evaluation: AlarmEvaluation;
}

export function Alarms(): JSX.Element {
  useTitle(t("alarms.title"));
  const { query } = route.value;
  const prefix = query.get("prefix") ?? "";
  const priority = query.get("priority") ?? "";
  const view = viewOf(query.get("view"));
  const chosen = query.get("alarm") ?? "";
  const on = !!alarmCounts.value;
  const found = useLoad(
    async (cancel) => (on ? await load(view, prefix, priority, cancel) : undefined),
    [view, prefix, priority, on],
    EVERY_MS,
  );
  useEffect(() => found.again(), [alarmChanges.value]);
  const data = found.data;
  const lists = view !== "figures";
  const empty = t(view === "aside" ? "alarms.noneAside" : "alarms.calm");
  const items = itemsOf(data);
  // An alarm that leaves the list while it is open has gone where the person put it; one that never was in it was asked for by its address.
  const left = useRef("");
  const listed = items.some((one) => one.alarm.alarm_id === chosen);
  if (listed) left.current = chosen;
  const absent = lists && !!data && !!chosen && !listed && left.current !== chosen;
  if (alarmsOff.value)
    return (
      <>
        <header class="page">
          <h1>{t("alarms.title")}</h1>
        </header>
        <p class="note">{alarmsOff.value}</p>
      </>
    );
  return (
    <>
      <header class="page">
        <h1>{t("alarms.title")}</h1>
        {data && <Aside counts={data.counts} />}
      </header>
      <div class="filters">
        <Tabs
          label={t("alarms.views")}
          chosen={view}
          items={VIEWS.map((one) => ({
            key: one,
            text: t(`alarms.view.${one}`),
            href: here({ view: one === "calm" ? undefined : one, alarm: undefined, priority: undefined }),
          }))}
        />
        <PartPicker />
        {!lists && <RangePicker />}
        {view === "all" && (
          <Choice
            name="priority"
            label={t("alarms.priority")}
            options={PRIORITIES}
            text={(one) => named("priority", one)}
          />
        )}
      </div>
      {data && <Evaluated evaluation={data.evaluation} />}
      {!lists && on && <AlarmFiguresView prefix={prefix} />}
      {absent && <Elsewhere alarm_id={chosen} />}
      {lists && found.problem && items.length > 0 && <Failure problem={found.problem} again={found.again} />}
      {!lists ? null : items.length > 0 ? (
        <ul class="alarms panel flush">
          {items.map((one) => (
            <AlarmItem
              key={one.alarm.alarm_id}
              {...one}
              opened={one.alarm.alarm_id === chosen}
              link={here({ alarm: one.alarm.alarm_id })}
            />
          ))}
        </ul>
      ) : (
        <Rest loading={!data} problem={found.problem} again={found.again} empty={empty} />
      )}
      {lists && data?.next_page_token && <p class="note">{t("alarms.more", { count: PAGE })}</p>}
      {!!data?.counts.not_kept && <p class="note">{t("alarms.notKept", { count: count(data.counts.not_kept) })}</p>}
    </>
  );
}

/** An alarm that an address names and the list does not show: it is over, or stands on another's line. */
function Elsewhere({ alarm_id }: { alarm_id: string }): JSX.Element {
  const found = useLoad(
    async (cancel) => (await get<{ alarm: Alarm }>(`alarms/${encodeURIComponent(alarm_id)}`, {}, cancel)).alarm,
    [alarm_id],
  );
  useEffect(() => found.again(), [alarmChanges.value]);
  if (!found.data)
    return <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("alarms.gone")} />;
  return (
    <ul class="alarms panel flush">
      <AlarmItem alarm={found.data} opened link={here({ alarm: alarm_id })} />
    </ul>
  );
}

/** The alarms of a machine, on its own page. */
export function DeviceAlarms({ path }: { path: string }): JSX.Element {
  const chosen = route.value.query.get("alarm") ?? "";
  const on = !!alarmCounts.value;
  const found = useLoad(
    async (cancel) => (on ? await load("all", path, "", cancel) : undefined),
    [path, on],
    EVERY_MS,
  );
  useEffect(() => found.again(), [alarmChanges.value]);
  const alarms = found.data?.alarms ?? [];
  return (
    <Panel
      title={t("alarms.title")}
      className="flush"
      extra={<a href={href("alarms", "", { prefix: path, view: "all" })}>{t("app.all")}</a>}
    >
      {found.data && found.data.evaluation.state !== "RUNNING" && <Evaluated evaluation={found.data.evaluation} />}
      {alarms.length > 0 ? (
        <ul class="alarms narrow">
          {alarms.map((one) => (
            <AlarmItem
              key={one.alarm_id}
              alarm={one}
              opened={one.alarm_id === chosen}
              link={here({ alarm: one.alarm_id })}
            />
          ))}
        </ul>
      ) : (
        <Rest
          loading={!found.data && !alarmsOff.value}
          problem={found.problem}
          empty={t(alarmsOff.value ? "alarms.off" : "alarms.calm")}
        />
      )}
    </Panel>
  );
}

async function load(view: View, prefix: string, priority: string, cancel: AbortSignal): Promise<Found> {
  if (view === "calm" || view === "figures") return await get<Found>("alarms/lines", { prefix }, cancel);
  const state = view === "aside" ? ASIDE : [];
  return await get<Found>("alarms", { prefix, priority, state, page_size: PAGE }, cancel);
}

interface Item {
  alarm: Alarm;
  priority?: PriorityName;
  also?: number;
  alike?: boolean;
  places?: number;
  ids?: string[];
  activations?: number[];
}

function itemsOf(data: Found | undefined): Item[] {
  if (data?.lines)
    return data.lines.map((line) => ({
      alarm: line.head,
      priority: line.priority,
      also: line.alarms - 1,
      alike: line.rules.length === 1,
      places: line.places,
      ids: line.unacknowledged_ids,
      activations: line.unacknowledged_activations,
    }));
  return (data?.alarms ?? []).map((alarm) => ({ alarm }));
}

function Aside({ counts }: { counts: AlarmCounts }): JSX.Element {
  const parts: [number, string][] = [
    [counts.shelved, "alarmState.SHELVED"],
    [counts.suppressed, "alarmState.SUPPRESSED"],
    [counts.out_of_service, "alarmState.OUT_OF_SERVICE"],
  ];
  return (
    <span class="facts quiet">
      {parts
        .filter(([many]) => many > 0)
        .map(([many, name]) => (
          <span>
            {count(many)} {named("alarmState", name.slice(11)).toLowerCase()}
          </span>
        ))}
    </span>
  );
}

/** A list that is empty because nobody looks is not calm. */
function Evaluated({ evaluation }: { evaluation: AlarmEvaluation }): JSX.Element | null {
  if (evaluation.state === "RUNNING") return null;
  const stalled = evaluation.state === "STALLED" || evaluation.state === "PARTIAL";
  return (
    <p class={`note ${stalled ? "failure" : ""}`} role={stalled ? "alert" : "status"}>
      <Mark level={stalled ? "alarm" : "stale"} />
      {evaluation.detail}
    </p>
  );
}

function viewOf(text: string | null): View {
  return VIEWS.find((one) => one === text) ?? "calm";
}
