// The measurements of a trend: chosen ones as chips, others by search; every word has to be in the path or the description.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get } from "../api/http";
import type { Tag } from "../api/types";
import { PENS } from "../chart/chart";
import { unit, words } from "../format";
import { t } from "../i18n";
import { go, here, nameOf, parentOf, placeOf } from "../route";
import { useLoad } from "../ui/hooks";
import { Icon } from "../ui/icons";
import { MOST } from "./trends";

const SHOWN = 30;

export function TagPicker({ chosen }: { chosen: string[] }): JSX.Element {
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const [first = "", ...others] = wanted.split(/\s+/);
  const found = useLoad(
    async (cancel) => {
      if (first.length < 2) return [];
      const tags = (await get<{ tags: Tag[] }>("tags", { text: first, page_size: others.length ? 1000 : 200 }, cancel))
        .tags;
      const inside = (tag: Tag): boolean =>
        others.every((word) => `${tag.path} ${tag.description}`.toLowerCase().includes(word));
      return tags.filter((tag) => inside(tag) && !chosen.includes(tag.path));
    },
    [wanted, chosen],
  );
  const full = chosen.length >= MOST;
  const add = (path: string): void => {
    setText("");
    go(here({ tag: [...chosen, path] }));
  };
  const open = wanted.length > 1;
  return (
    <div
      class="tag-picker"
      onKeyDown={(event) => {
        if (event.key === "Escape") setText("");
      }}
    >
      <ul class="chips">
        {chosen.map((path, index) => (
          <li class={`pen pen-${index % PENS}`}>
            <i aria-hidden="true" />
            {words(nameOf(path))} <span class="quiet">{nameOf(parentOf(path))}</span>
            <button
              type="button"
              class="plain icon-only"
              aria-label={t("trends.remove", { name: `${nameOf(path)} ${nameOf(parentOf(path))}` })}
              onClick={() => go(here({ tag: chosen.filter((one) => one !== path) }))}
            >
              <Icon name="close" size={12} />
            </button>
          </li>
        ))}
        <li class="search">
          <Icon name="search" size={15} />
          <input
            type="search"
            disabled={full}
            aria-label={t("trends.search")}
            placeholder={full ? t("trends.most", { count: MOST }) : t("trends.search")}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => {
              const top = found.data?.[0];
              if (event.key === "Enter" && top) add(top.path);
            }}
          />
        </li>
      </ul>
      {open && (
        <div class="found" role="region" aria-label={t("trends.add")}>
          <p class="quiet" role="status">
            {found.loading
              ? t("app.loading")
              : found.data?.length
                ? t("trends.found", { count: found.data.length })
                : t("trends.nothing")}
          </p>
          <ul>
            {found.data?.slice(0, SHOWN).map((tag) => (
              <li>
                <button type="button" class="plain" onClick={() => add(tag.path)}>
                  <b>{words(tag.name)}</b> <span class="quiet">{unit(tag.unit)}</span>{" "}
                  <span class="quiet where">{placeOf(parentOf(tag.path))}</span>
                </button>
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}
