// Why an episode was opened, in a sentence for each contributor.
import type { Contributor } from "../api/types";
import { number, withUnit, words } from "../format";
import { t } from "../i18n";
import { nameOf } from "../route";
import { unitOf } from "../state/units";

export function reasonText(contributor: Contributor): string {
  const name = words(nameOf(contributor.path));
  const code = unitOf(contributor.tag_id);
  const value = withUnit(contributor.value, code);
  const { expected_low: low, expected_high: high } = contributor;
  if (low === null || low === undefined || high === null || high === undefined)
    return t("anomalies.unusual", { name, value });
  return t("anomalies.expected", { name, value, low: number(low), high: withUnit(high, code) });
}
