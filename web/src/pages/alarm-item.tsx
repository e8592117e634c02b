// One alarm as a row that opens: what it is, since when, and in reach of a thumb what can be done. Opened it says why, what follows, what to do.
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { get, post } from "../api/http";
import type { Alarm, AlarmAnswer, AlarmEvent, AtMachine, PriorityName } from "../api/types";
import { count, duration, time, unit, withUnit, words } from "../format";
import { named, t } from "../i18n";
import { iso } from "../range";
import { here, href, nameOf, parentOf, placeOf } from "../route";
import { alarmChanges, changed } from "../state/alarms";
import { now } from "../state/clock";
import { whoIs } from "../state/people";
import { mayAlarm, online } from "../state/session";
import { Rest, Time, Unbroken, Wrong } from "../ui/bits";
import { useLoad } from "../ui/hooks";
import { PACKML } from "../ui/level";
import { PrioritySign } from "../ui/priority";
import { useSending } from "../ui/sending";
import { ShelveDialog } from "./shelve";

const NEW = new Set(["UNACKNOWLEDGED", "RETURNED_UNACKNOWLEDGED"]);
/** The machine may still wait: who acknowledges again sends it another command. */
const UNHEARD = new Set(["FAILED", "UNKNOWN"]);
const AROUND_US = 10 * 60e6;
const EVENTS = 20;

/** What was seen, as people write it; nothing where the rule is about no value. */
function valueOf(alarm: Alarm): string {
  if (alarm.value === null || alarm.value === undefined || alarm.unit === "") return "";
  const state = alarm.path.endsWith("/packml_state") ? PACKML[alarm.value] : undefined;
  return state ? named("packml", state) : withUnit(alarm.value, alarm.unit);
}

/** `also`: how many alarms a line stands for beside this one, `alike` ones at `places` or what follows; `ids`: what is acknowledged with
 * it, `activations`: how often each had been raised, since nobody acknowledges what is not shown yet. */
export function AlarmItem({
  alarm,
  priority = alarm.priority,
  also = 0,
  alike = false,
  places = 1,
  ids,
  activations,
  opened,
  link,
}: {
  alarm: Alarm;
  priority?: PriorityName;
  also?: number;
  alike?: boolean;
  places?: number;
  ids?: string[];
  activations?: number[];
  opened: boolean;
  link: string;
}): JSX.Element {
  const { busy, wrong, send } = useSending();
  const fresh = ids ?? (NEW.has(alarm.state) ? [alarm.alarm_id] : []);
  const seen = ids ? (activations ?? []) : fresh.length > 0 ? [alarm.activations] : [];
  const isNew = fresh.length > 0;
  const off = !online.value ? t("commands.off.link") : mayAlarm.value ? "" : t("alarms.may");
  const since = alarm.activated_us ?? alarm.updated_us;
  const act = async (run: () => Promise<string>): Promise<void> => {
    await send(run);
    changed();
  };
  const acknowledge = async (): Promise<string> => {
    const found = await post<{ answers: AlarmAnswer[] }>("alarms/acknowledge", { alarm_ids: fresh, activations: seen });
    const failed = found.answers.filter((one) => one.outcome !== "DONE");
    // Somebody else was quicker: what is on the page next says so.
    return failed.find((one) => one.outcome !== "REFUSED")?.detail ?? (fresh.length === 1 ? (failed[0]?.detail ?? "") : "");
  };
  return (
    <li class={`alarm ${priority.toLowerCase()} ${isNew ? "new" : ""} ${opened ? "opened" : ""}`}>
      <div class="row">
        <PrioritySign priority={priority} kind={isNew ? "new" : "noted"} size={26} />
        <a class="what" href={opened ? here({ alarm: undefined }) : link} aria-expanded={opened ? "true" : "false"}>
          <span class="only-heard">{named("priority", priority)}: </span>
          <b>{alarm.title || alarm.rule}</b>
          {also > 0 && (
            <span class="also">
              {alike
                ? t("alarms.alsoAt", { count: count(also), places: count(places) })
                : t("alarms.also", { count: count(also) })}
            </span>
          )}
          <span class="where quiet">
            <Unbroken text={whereOf(alarm)} />
          </span>
        </a>
        <span class="state">
          <span class={isNew ? "abnormal" : "quiet"}>
            {isNew && !NEW.has(alarm.state)
              ? t("alarms.freshOf", { count: count(fresh.length) })
              : named("alarmState", alarm.state)}
          </span>
          <span class="quiet marks">
            {alarm.late && <span>{t("alarms.late")}</span>}
            {alarm.chattering && <span>{t("alarms.chattering")}</span>}
            {alarm.first_out && <span>{t("alarms.firstOut")}</span>}
            {alarm.at_machine && (
              <span class={UNHEARD.has(alarm.at_machine.state) ? "abnormal" : ""}>
                {t("alarms.machine", { state: named("atMachine", alarm.at_machine.state) })}
              </span>
            )}
          </span>
        </span>
        <span class="value">
          {valueOf(alarm)}
        </span>
        <span class="age quiet" title={since ? time(since) : ""}>
          {since ? duration(Math.max(0, now.value - since)) : ""}
        </span>
        <span class="do">
          {isNew ? (
            <button
              type="button"
              class="primary"
              disabled={busy || !!off}
              title={off}
              onClick={() => void act(acknowledge)}
            >
              {fresh.length > 1 ? t("alarms.acknowledgeAll", { count: count(fresh.length) }) : t("alarms.acknowledge")}
              <span class="only-heard">
                : {alarm.title || alarm.rule}, {nameOf(alarm.device_path || alarm.path)}
              </span>
            </button>
          ) : (
            alarm.acknowledged_by && <span class="quiet by">✓ {whoIs(alarm.acknowledged_by)}</span>
          )}
        </span>
      </div>
      {wrong && <Wrong wrong={wrong} />}
      {opened && <Details alarm={alarm} off={off} busy={busy} act={act} />}
    </li>
  );
}

function Details({
  alarm,
  off,
  busy,
  act,
}: {
  alarm: Alarm;
  off: string;
  busy: boolean;
  act: (run: () => Promise<string>) => Promise<void>;
}): JSX.Element {
  const [dialog, open] = useState<"" | "shelve" | "off">("");
  const [comment, setComment] = useState("");
  const latched = alarm.overrides.some((one) => one.kind === "LATCHED");
  const shelved = alarm.overrides.some((one) => one.kind === "SHELVED");
  const outOfService = alarm.overrides.some((one) => one.kind === "OUT_OF_SERVICE");
  const post_ = (verb: string, body: unknown) => async (): Promise<string> => {
    const answer = await post<AlarmAnswer>(`alarms/${alarm.alarm_id}/${verb}`, body);
    return answer.outcome === "DONE" ? "" : answer.detail;
  };
  const isAlarm = alarm.alarm_id !== alarm.source_id;
  const around = {
    from: iso((alarm.start_us ?? alarm.updated_us) - AROUND_US),
    to: alarm.returned_us ? iso(alarm.returned_us + AROUND_US) : undefined,
  };
  return (
    <div class="details">
      <dl class="advice">
        <Fact name={t("alarms.do")} main>
          {alarm.corrective_action}
        </Fact>
        <Fact name={t("alarms.cause")}>{alarm.cause}</Fact>
        <Fact name={t("alarms.consequence")}>{alarm.consequence}</Fact>
      </dl>
      <dl class="facts">
        <Fact name={t("alarms.seen")}>{seenOf(alarm)}</Fact>
        <Fact name={t("alarms.began")}>{alarm.start_us ? <Time us={alarm.start_us} /> : ""}</Fact>
        <Fact name={t("alarms.returned")}>{alarm.returned_us ? <Time us={alarm.returned_us} /> : ""}</Fact>
        <Fact name={t("alarms.raised")}>{alarm.activations > 1 ? t("alarms.times", { count: alarm.activations }) : ""}</Fact>
        <Fact name={t("alarms.acknowledgedBy")}>
          {alarm.acknowledged_us ? (
            <>
              {whoIs(alarm.acknowledged_by)}, <Time us={alarm.acknowledged_us} />
            </>
          ) : (
            ""
          )}
        </Fact>
        <Fact name={t("alarms.atMachine")}>
          {alarm.at_machine ? <HowAtMachine told={alarm.at_machine} /> : ""}
        </Fact>
        {alarm.overrides.map((one) => (
          <Fact name={named("alarmState", one.kind)}>
            {[whoIs(one.by), one.reason].filter(Boolean).join(": ")}
            {one.until_us ? ` (${t("alarms.until", { time: time(one.until_us, false) })})` : ""}
          </Fact>
        ))}
        <Fact name={t("alarms.comment")}>{alarm.comment}</Fact>
        <Fact name={t("alarms.follows")}>
          {alarm.cause_alarm_id ? (
            <a href={href("alarms", "", { alarm: alarm.cause_alarm_id, view: "all" })}>{t("alarms.first")}</a>
          ) : (
            ""
          )}
        </Fact>
      </dl>
      <div class="acts">
        {isAlarm && (
          <form
            class="say"
            onSubmit={(event) => {
              event.preventDefault();
              if (comment.trim()) void act(post_("comment", { comment: comment.trim() })).then(() => setComment(""));
            }}
          >
            <input
              type="text"
              maxLength={500}
              placeholder={t("alarms.comment")}
              aria-label={t("alarms.comment")}
              value={comment}
              disabled={!!off}
              onInput={(event) => setComment(event.currentTarget.value)}
            />
            <button type="submit" disabled={busy || !!off || !comment.trim()}>
              {t("alarms.say")}
            </button>
          </form>
        )}
        {alarm.acknowledged_us && alarm.at_machine && UNHEARD.has(alarm.at_machine.state) && (
          <button
            type="button"
            disabled={busy || !!off}
            title={off}
            onClick={() => void act(post_("acknowledge", { activations: alarm.activations }))}
          >
            {t("alarms.acknowledgeAgain")}
          </button>
        )}
        {latched && (
          <button
            type="button"
            disabled={busy || !!off || !alarm.acknowledged_us}
            onClick={() => void act(post_("reset", {}))}
          >
            {t("alarms.reset")}
          </button>
        )}
        {shelved ? (
          <button type="button" disabled={busy || !!off} onClick={() => void act(post_("unshelve", {}))}>
            {t("alarms.unshelve")}
          </button>
        ) : (
          <button type="button" disabled={busy || !!off} title={off} onClick={() => open("shelve")}>
            {t("alarms.shelveFor")}
          </button>
        )}
        {outOfService ? (
          <button type="button" disabled={busy || !!off} onClick={() => void act(post_("in-service", {}))}>
            {t("alarms.putOn")}
          </button>
        ) : (
          <button type="button" disabled={busy || !!off} title={off} onClick={() => open("off")}>
            {t("alarms.takeOffFor")}
          </button>
        )}
        {alarm.tag_id !== null && (
          <a class="button" href={href("trends", "", { tag: alarm.path, ...around })}>
            {t("anomalies.show")}
          </a>
        )}
        {alarm.device_path && (
          <a class="button" href={href("device", alarm.device_path)}>
            {nameOf(alarm.device_path)}
          </a>
        )}
      </div>
      {off && <p class="note">{off}</p>}
      <Course alarm={alarm} />
      {dialog && (
        <ShelveDialog
          alarm={alarm}
          off={dialog === "off"}
          close={() => open("")}
          done={() => {
            open("");
            changed();
          }}
        />
      )}
    </div>
  );
}

/** How it stands at the machine, with the command that carries it. */
function HowAtMachine({ told }: { told: AtMachine }): JSX.Element {
  const text = [named("atMachine", told.state), told.detail].filter(Boolean).join(": ");
  return told.command_id ? <a href={href("command", told.command_id)}>{text}</a> : <>{text}</>;
}

/** What happened to it, where history has it. */
function Course({ alarm }: { alarm: Alarm }): JSX.Element | null {
  const found = useLoad(
    async (cancel) =>
      await get<{ events: AlarmEvent[]; events_missing: string }>(`alarms/${alarm.alarm_id}`, {}, cancel),
    [alarm.alarm_id, alarm.version, alarmChanges.value],
  );
  if (!found.data?.events.length)
    return found.data?.events_missing ? (
      <p class="note small" title={found.data.events_missing}>
        {t("alarms.noCourse")}
      </p>
    ) : found.problem ? (
      <Rest loading={false} problem={found.problem} empty="" />
    ) : null;
  return (
    <ol class="steps">
      {found.data.events.slice(0, EVENTS).map((one) => (
        <li>
          <b>{named("alarmEvent", one.kind)}</b> {whoIs(one.by)}
          <span class="quiet">
            <Time us={one.time_us} />
          </span>
          {(one.reason || one.detail) && <span class="detail">{one.reason || one.detail}</span>}
        </li>
      ))}
    </ol>
  );
}

function Fact({
  name,
  main = false,
  children,
}: {
  name: string;
  main?: boolean;
  children: ComponentChildren;
}): JSX.Element | null {
  if (!children || (Array.isArray(children) && !children.some(Boolean))) return null;
  return (
    <div class={main ? "main" : ""}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** What the job saw, with the name and the unit as people write them. */
function seenOf(alarm: Alarm): string {
  const name = nameOf(alarm.path);
  const text = name ? alarm.detail.replaceAll(name, words(name)) : alarm.detail;
  const sign = unit(alarm.unit);
  const code = alarm.unit.replaceAll(/\W/g, "\\$&");
  return sign ? text.replaceAll(new RegExp(`(\\d) ${code}(?!\\w)`, "g"), `$1 ${sign}`) : text;
}

function whereOf(alarm: Alarm): string {
  const place = alarm.device_path || alarm.path;
  const machine = nameOf(place);
  return [machine, placeOf(parentOf(place))].filter(Boolean).join(" · ");
}
