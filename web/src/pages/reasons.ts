// Why an episode was opened, in a sentence for each contributor.
import type { Contributor } from "../api/types";
import { number, withUnit, words } from "../format";
import { t } from "../i18n";
import { nameOf } from "../route";
import { unitOf } from "../state/units";

const OF_THE_COURSE = ["step", "shift", "drift", "restless", "calm", "spread", "relation", "pattern"] as const;

export function reasonText(contributor: Contributor): string {
  const name = words(nameOf(contributor.path));
  const code = unitOf(contributor.tag_id);
  const value = withUnit(contributor.value, code);
  // What is no matter of the value has a sentence of its own: the value may well be a usual one.
  const strange = OF_THE_COURSE.find((each) => each === contributor.statistic);
  if (strange) return t(`anomalies.strange.${strange}`, { name, value });
  const { expected_low: low, expected_high: high } = contributor;
  if (low === null || low === undefined || high === null || high === undefined)
    return t("anomalies.unusual", { name, value });
  return t("anomalies.expected", { name, value, low: number(low), high: withUnit(high, code) });
}
