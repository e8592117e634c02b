// Why an episode was opened, in a sentence for each contributor.
import type { Contributor } from "../api/types";
import { number, time, withUnit, words } from "../format";
import { t } from "../i18n";
import { nameOf } from "../route";
import { unitOf } from "../state/units";

const OF_THE_COURSE = ["step", "shift", "drift", "restless", "calm", "spread", "relation", "pattern"] as const;

export function reasonText(contributor: Contributor): string {
  const name = words(nameOf(contributor.path));
  const code = unitOf(contributor.tag_id);
  const value = withUnit(contributor.value, code);
  if (contributor.statistic === "forecast") return forecastText(contributor, name, code);
  // What is no matter of the value has a sentence of its own: the value may well be a usual one.
  const strange = OF_THE_COURSE.find((each) => each === contributor.statistic);
  if (strange) return t(`anomalies.strange.${strange}`, { name, value });
  const { expected_low: low, expected_high: high } = contributor;
  if (low === null || low === undefined || high === null || high === undefined)
    return t("anomalies.unusual", { name, value });
  return t("anomalies.expected", { name, value, low: number(low), high: withUnit(high, code) });
}

function forecastText(contributor: Contributor, name: string, code: string): string {
  const { limit, limit_us: likely, earliest_us: earliest, latest_us: latest } = contributor;
  const said = {
    name,
    value: withUnit(contributor.value, code),
    limit: withUnit(limit, code),
    time: time(likely ?? 0, false),
    earliest: time(earliest ?? 0, false),
  };
  if (latest === null || latest === undefined) return t("anomalies.forecast", said);
  return t("anomalies.forecastUntil", { ...said, latest: time(latest, false) });
}
