// Everything else that a gateway says of itself, folded away.
import type { JSX } from "preact";
import type { Gateway } from "../api/types";
import { words } from "../format";
import { t } from "../i18n";

export function Attributes({ gateway }: { gateway: Gateway }): JSX.Element | null {
  const entries = Object.entries(gateway.attributes ?? {}).sort(([a], [b]) => a.localeCompare(b));
  if (!entries.length) return null;
  return (
    <details>
      <summary>{t("app.more")}</summary>
      <dl class="facts-list">
        {entries.map(([name, value]) => (
          <>
            <dt>{words(name)}</dt>
            <dd>{value}</dd>
          </>
        ))}
      </dl>
    </details>
  );
}
