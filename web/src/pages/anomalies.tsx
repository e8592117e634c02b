// Anomaly episodes: open ones live, closed ones from history, each with its reasons.
import type { JSX } from "preact";
import { get } from "../api/http";
import type { Anomaly } from "../api/types";
import { duration, number } from "../format";
import { t } from "../i18n";
import { iso, range } from "../range";
import { href, route } from "../route";
import { anomalySteps, openAnomalies, withWords } from "../state/anomalies";
import { now } from "../state/clock";
import { Badge, DeviceLink, Failure, Rest, Table, Time } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import { EpisodeReasons } from "./episode";
import { PartPicker, RangePicker, Toggle } from "./filters";
import { Asked, Labelling } from "./labelling";

const PAGE = 200;
const AROUND_US = 10 * 60e6;

export function Anomalies(): JSX.Element {
  useTitle(t("anomalies.title"));
  const { query, path: chosen } = route.value;
  const prefix = query.get("prefix") ?? "";
  const onlyOpen = query.get("open") === "1";
  const { start_us, end_us, live } = range.value;
  const steps = live ? anomalySteps.value : 0;
  const listed = useLoad(
    async (cancel) =>
      onlyOpen
        ? []
        : (
            await get<{ anomalies: Anomaly[] }>(
              "anomalies",
              { prefix, start_us: round(start_us), end_us: live ? undefined : round(end_us), page_size: PAGE },
              cancel,
            )
          ).anomalies,
    [prefix, onlyOpen, live ? query.get("from") : [start_us, end_us], Math.floor(steps / 5)],
    30_000,
  );
  const open = openAnomalies.value.filter(
    (one) => !prefix || one.device_path === prefix || one.device_path.startsWith(`${prefix}/`),
  );
  const inRange = live ? open : open.filter((one) => one.start_us < end_us);
  const all = new Map([...(listed.data ?? []), ...inRange].map((one) => [one.episode_id, withWords(one)]));
  const sorted = [...all.values()].sort((a, b) => Number(!!a.end_us) - Number(!!b.end_us) || b.start_us - a.start_us);
  return (
    <>
      <header class="page">
        <h1>{t("anomalies.title")}</h1>
      </header>
      <div class="filters">
        <RangePicker />
        <PartPicker />
        <Toggle name="open" label={t("anomalies.onlyOpen")} />
      </div>
      {listed.problem && sorted.length > 0 && <Failure problem={listed.problem} again={listed.again} />}
      {!sorted.length ? (
        <Rest
          loading={listed.loading}
          problem={listed.problem}
          again={listed.again}
          empty={t(onlyOpen ? "anomalies.noneOpen" : "anomalies.none")}
        />
      ) : (
        <div class="panel flush">
          <Table
            label={t("anomalies.title")}
            className="list stacked"
            head={[
              t("commands.state"),
              t("anomalies.machine"),
              t("anomalies.reasons"),
              [t("anomalies.score"), "figure"],
              t("anomalies.since"),
              [t("anomalies.duration"), "figure"],
              "",
            ]}
          >
            {sorted.map((one) => (
              <Row key={one.episode_id} anomaly={one} chosen={one.episode_id === chosen} />
            ))}
          </Table>
        </div>
      )}
      <Asked />
    </>
  );
}

function round(us: number): number {
  return Math.round(us);
}

function Row({ anomaly, chosen }: { anomaly: Anomaly; chosen: boolean }): JSX.Element {
  const open = !anomaly.end_us;
  const end = anomaly.end_us ?? now.value;
  const tags = [...anomaly.contributors]
    .sort((a, b) => b.score - a.score)
    .slice(0, 4)
    .map((one) => one.path)
    .filter(Boolean);
  const around = { from: iso(anomaly.start_us - AROUND_US), to: open ? undefined : iso(end + AROUND_US) };
  return (
    // The roles are said because a phone lays rows out as cards, and some browsers take what is no table row for no row.
    <tr class={chosen ? "chosen" : ""} role="row">
      <td role="cell" class="state">
        {open ? <Badge level="warn">{t("anomalies.open")}</Badge> : <span class="quiet">{t("anomalies.closed")}</span>}
      </td>
      <th scope="row" role="rowheader">
        <DeviceLink path={anomaly.device_path} />
      </th>
      <td role="cell" class="reasons">
        <EpisodeReasons anomaly={anomaly} />
        <span class="quiet small">
          {t("anomalies.detector", { detector: anomaly.detector, version: anomaly.detector_version })}
        </span>
      </td>
      <td role="cell" class="figure">
        <Score anomaly={anomaly} />
      </td>
      <td role="cell">
        <Time us={anomaly.start_us} />
      </td>
      <td role="cell" class="figure">{duration(end - anomaly.start_us)}</td>
      <td role="cell" class="do">
        {tags.length > 0 && (
          <a class="button small" href={href("trends", "", { tag: tags, ...around })}>
            {t("anomalies.show")}
          </a>
        )}
        <Labelling anomaly={anomaly} />
      </td>
    </tr>
  );
}

/** A score from 0 to 1 beside its threshold. */
function Score({ anomaly }: { anomaly: Anomaly }): JSX.Element {
  const label = `${number(anomaly.score, 2)}, ${t("anomalies.peak", { peak: number(anomaly.peak_score, 2) })}, ${t("anomalies.threshold", { threshold: number(anomaly.threshold, 2) })}`;
  return (
    <span class="score" title={label}>
      <span aria-hidden="true" class="track">
        <span class="peak" style={{ width: `${anomaly.peak_score * 100}%` }} />
        <span class="threshold" style={{ left: `${anomaly.threshold * 100}%` }} />
      </span>
      <span>{number(anomaly.peak_score, 2)}</span>
    </span>
  );
}
