// Where a page is in the plant: enterprise / site / area / line / cell, each a link.
import type { JSX } from "preact";
import { t } from "../i18n";
import { href } from "../route";

export function Crumbs({ path }: { path: string }): JSX.Element {
  const parts = path.split("/").slice(0, -1);
  return (
    <nav class="crumbs" aria-label={t("filter.part")}>
      <a href={href("overview")}>{t("overview.title")}</a>
      {parts.map((part, index) => (
        <a href={href("plant", parts.slice(0, index + 1).join("/"))}>{part}</a>
      ))}
    </nav>
  );
}
