// The place that a page of work is about: breadcrumbs above the title, the whole plant by default. The path is part of the address.
import type { JSX } from "preact";
import { t } from "../i18n";
import { href, nameOf } from "../route";

export function PlaceHead({ page, title, path }: { page: string; title: string; path: string }): JSX.Element {
  const parts = path ? path.split("/") : [];
  return (
    <header class="page">
      {path && (
        <nav class="crumbs" aria-label={t("filter.part")}>
          <a href={href(page)}>{title}</a>
          {parts.slice(0, -1).map((part, index) => (
            <a href={href(page, parts.slice(0, index + 1).join("/"))}>{part}</a>
          ))}
        </nav>
      )}
      <h1>{path ? `${title}: ${nameOf(path)}` : title}</h1>
    </header>
  );
}
