// Whether people can live with the alarms: the figures of EEMUA 191 (ISA-18.2) of the chosen part and time. Grey is what a person can bear.
import type { JSX } from "preact";
import { get } from "../api/http";
import type { AlarmFigures, AlarmRate, AlarmScopeFigures, AlarmSourceFigures, Maybe } from "../api/types";
import { count, duration, number, time } from "../format";
import { named, t } from "../i18n";
import { spanOf } from "../range";
import { here, nameOf, parentOf } from "../route";
import { countOfStanding, PRIORITIES } from "../state/alarms";
import { Failure, Panel, Rest, Table, Time } from "../ui/bits";
import { useLoad } from "../ui/hooks";
import { share } from "../ui/losses";
import { PrioritySign } from "../ui/priority";

const EVERY_MS = 60_000;
const SPAN_US = 600e6;
/** A day, whose first and last spans may be cut. */
const BARS = 146;
/** More new alarms than these in 10 minutes are a flood for one operator. */
const FLOOD = 10;
const WIDTH = 720;
const HEIGHT = 120;

export function AlarmFiguresView({ prefix }: { prefix: string }): JSX.Element {
  const { start_us, end_us, key } = spanOf();
  const found = useLoad(
    async (cancel) => await get<AlarmFigures>("alarms/figures", { prefix, start_us, end_us }, cancel),
    [prefix, key],
    EVERY_MS,
  );
  const data = found.data;
  if (!data) return <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("alarms.noFigures")} />;
  return (
    <>
      {found.problem && <Failure problem={found.problem} again={found.again} />}
      <Whole figures={data} />
      <div class="columns">
        <Sources
          title={t("alarms.top")}
          rows={data.top}
          figure={(one) => count(one.alarms)}
          of={(one) => one.share}
          empty={t("alarms.noNew")}
        />
        <Sources
          title={t("alarms.chatter")}
          rows={data.chattering}
          figure={(one) => t("alarms.times", { count: one.chattering })}
          of={(one) => one.chattering / Math.max(1, data.chattering[0]?.chattering ?? 1)}
          empty={t("alarms.noChatter")}
        />
      </div>
      <Scopes rows={data.scopes} />
      <Stale figures={data} />
    </>
  );
}

function Whole({ figures }: { figures: AlarmFigures }): JSX.Element {
  const worst = figures.scopes.reduce<AlarmScopeFigures | undefined>(
    (most, one) => (!most || one.per_10_min > most.per_10_min ? one : most),
    undefined,
  );
  const all = figures.scopes.reduce((sum, one) => sum + one.alarms, 0);
  const peak = Math.max(0, ...figures.scopes.map((one) => one.peak_10_min));
  const flood = Math.max(0, ...figures.scopes.map((one) => one.flood_share));
  const took = median(figures.scopes);
  const { counts } = figures;
  return (
    <Panel title={t("alarms.figures")} extra={<span class="quiet small">{t("alarms.eemua")}</span>}>
      <dl class="alarm-figures">
        <div class="main">
          <dt>{t("alarms.rate")}</dt>
          <dd>
            {number(worst?.per_10_min ?? 0, 2)} <Verdict verdict={worst?.verdict ?? "ACCEPTABLE"} />
          </dd>
          {worst && figures.scopes.length > 1 && <dd class="quiet small">{placeOf(worst.scope)}</dd>}
        </div>
        <One name={t("alarms.new")}>{count(all)}</One>
        <One name={t("alarms.peak")} wrong={peak > FLOOD}>
          {count(peak)}
        </One>
        <One name={t("alarms.inFlood")} wrong={flood > 0.01}>
          {share(flood)}
        </One>
        <One name={t("alarms.answered")}>{answered(took)}</One>
        <One name={t("alarms.standing")}>{count(countOfStanding(counts))}</One>
        <One name={t("alarms.staleNow")} wrong={figures.stale.length > 0}>
          {count(figures.stale.length)}
        </One>
        <One name={named("alarmState", "SHELVED")}>{count(counts.shelved)}</One>
        <One name={named("alarmState", "OUT_OF_SERVICE")}>{count(counts.out_of_service)}</One>
      </dl>
      <Rates rates={figures.rates} start_us={figures.start_us} end_us={figures.end_us} />
    </Panel>
  );
}

function One({
  name,
  wrong = false,
  children,
}: {
  name: string;
  wrong?: boolean;
  children: string;
}): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={wrong ? "abnormal warn" : ""}>{children}</dd>
    </div>
  );
}

function Verdict({ verdict }: { verdict: string }): JSX.Element {
  const bad = verdict === "OVER_DEMANDING" || verdict === "UNACCEPTABLE";
  return <span class={bad ? "badge warn" : "badge"}>{named("alarmVerdict", verdict)}</span>;
}

/** New alarms per 10 minutes; of a long time each bar is the worst of its 10 minutes. A flood is marked by form, too. */
function Rates({ rates, start_us, end_us }: { rates: AlarmRate[]; start_us: number; end_us: number }): JSX.Element {
  const spans = Math.max(1, Math.ceil((end_us - start_us) / SPAN_US));
  const each = Math.ceil(spans / BARS);
  const bars: { alarms: number; most: number; start_us: number }[] = Array.from(
    { length: Math.ceil(spans / each) },
    (_, at) => ({ alarms: 0, most: 0, start_us: start_us + at * each * SPAN_US }),
  );
  for (const one of rates) {
    const bar = bars[Math.floor((one.start_us - start_us) / (each * SPAN_US))];
    if (bar && one.alarms > bar.alarms) Object.assign(bar, { alarms: one.alarms, most: one.most, start_us: one.start_us });
  }
  const top = Math.max(FLOOD * 1.2, ...bars.map((bar) => bar.alarms));
  const width = WIDTH / bars.length;
  const y = (value: number): number => HEIGHT - (value / top) * HEIGHT;
  const worst = bars.reduce((most, one) => (one.alarms > most.alarms ? one : most), { alarms: 0, most: 0, start_us });
  const said = worst.alarms
    ? t("alarms.ratesSaid", { count: count(worst.alarms), time: time(worst.start_us, false) })
    : t("alarms.noNew");
  return (
    <figure class="alarm-rates">
      <figcaption class="quiet small">{t(each > 1 ? "alarms.ratesWorst" : "alarms.rates")}</figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={said}>
        <line class="flood-line" x1="0" x2={WIDTH} y1={y(FLOOD)} y2={y(FLOOD)} />
        {bars.map(
          (bar, at) =>
            bar.alarms > 0 && (
              <rect
                class={bar.most > FLOOD ? "flood" : ""}
                x={at * width + width * 0.1}
                width={Math.max(width * 0.8, 1)}
                y={y(bar.alarms)}
                height={HEIGHT - y(bar.alarms)}
              >
                <title>{`${time(bar.start_us, false)}: ${count(bar.alarms)}`}</title>
              </rect>
            ),
        )}
      </svg>
      <p class="axis quiet small">
        <span>{time(start_us, false)}</span>
        <span>{t("alarms.floodLine", { count: FLOOD })}</span>
        <span>{time(end_us, false)}</span>
      </p>
    </figure>
  );
}

function Scopes({ rows }: { rows: AlarmScopeFigures[] }): JSX.Element {
  return (
    <Panel title={t("alarms.scopes")} className="flush">
      {!rows.length ? (
        <Rest loading={false} empty={t("alarms.noNew")} />
      ) : (
        <Table
          label={t("alarms.scopes")}
          head={[
            t("alarms.scope"),
            [t("alarms.new"), "figure"],
            [t("alarms.rate"), "figure"],
            "",
            [t("alarms.peak"), "figure"],
            [t("alarms.inFlood"), "figure"],
            ...PRIORITIES.map((one): [JSX.Element, string] => [
              <abbr title={named("priority", one)}>
                <PrioritySign priority={one} kind="noted" size={18} />
              </abbr>,
              "figure",
            ]),
            [t("alarms.acknowledgedBy"), "figure"],
            [t("alarms.answered"), "figure"],
          ]}
        >
          {rows.map((row) => (
            <tr>
              <th scope="row">
                <a href={here({ prefix: row.scope })}>{placeOf(row.scope)}</a>
              </th>
              <td class="figure">{count(row.alarms)}</td>
              <td class="figure">{number(row.per_10_min, 2)}</td>
              <td>
                <Verdict verdict={row.verdict} />
              </td>
              <td class="figure">{count(row.peak_10_min)}</td>
              <td class="figure">{share(row.flood_share)}</td>
              {PRIORITIES.map((one) => (
                <td class="figure">{count(row.by_priority.find((each) => each.priority === one)?.count ?? 0)}</td>
              ))}
              <td class="figure">{share(row.acknowledged / Math.max(1, row.alarms))}</td>
              <td class="figure">{answered(row.time_to_acknowledge_s)}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function Sources({
  title,
  rows,
  figure,
  of,
  empty,
}: {
  title: string;
  rows: AlarmSourceFigures[];
  figure: (one: AlarmSourceFigures) => string;
  of: (one: AlarmSourceFigures) => number;
  empty: string;
}): JSX.Element {
  return (
    <Panel title={title}>
      {!rows.length ? (
        <Rest loading={false} empty={empty} />
      ) : (
        <ol class="pareto">
          {rows.map((one) => (
            <li>
              <span class="what">
                <b>{one.title || one.rule}</b> <span class="quiet">{nameOf(deviceOf(one.path))}</span>
              </span>
              <span class="track" aria-hidden="true">
                <span style={{ width: `${Math.min(1, of(one)) * 100}%` }} />
              </span>
              <span class="figure">{figure(one)}</span>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

function Stale({ figures }: { figures: AlarmFigures }): JSX.Element {
  return (
    <Panel title={t("alarms.stale")} className="flush">
      {!figures.stale.length ? (
        <Rest loading={false} empty={t("alarms.noStale")} />
      ) : (
        <Table label={t("alarms.stale")} head={[t("alarms.priority"), t("alarms.title"), t("alarms.began"), ""]}>
          {figures.stale.map((one) => (
            <tr>
              <td>
                <PrioritySign priority={one.priority} kind="noted" size={20} />
                <span class="only-heard">{named("priority", one.priority)}</span>
              </td>
              <th scope="row">
                <a href={here({ view: "all", alarm: one.alarm_id })}>{one.title || one.rule}</a>
                <span class="quiet"> {placeOf(deviceOf(one.path))}</span>
              </th>
              <td>
                <Time us={one.since_us} />
              </td>
              <td class="figure">{duration(figures.end_us - one.since_us)}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

/** Half of all answers came within: of several scopes, weighted by their answers. */
function median(scopes: AlarmScopeFigures[]): number | undefined {
  const known = scopes.flatMap(({ time_to_acknowledge_s: took, acknowledged }) =>
    typeof took === "number" ? [{ took, acknowledged }] : [],
  );
  known.sort((a, b) => a.took - b.took);
  let left = known.reduce((sum, one) => sum + one.acknowledged, 0) / 2;
  for (const one of known) {
    left -= one.acknowledged;
    if (left <= 0) return one.took;
  }
  return undefined;
}

function answered(took_s: Maybe<number>): string {
  return typeof took_s === "number" ? duration(took_s * 1e6) : "–";
}

function deviceOf(path: string): string {
  return path.split("/").length > 6 ? parentOf(path) : path;
}

function placeOf(path: string): string {
  return path.split("/").slice(1).join(" / ") || path;
}
