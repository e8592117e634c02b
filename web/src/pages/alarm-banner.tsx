// The banner: on every page, how many alarms nobody has taken note of, by priority. Grey is normal. It says when nobody evaluates alarms.
import type { JSX } from "preact";
import { count } from "../format";
import { named, t, type Key } from "../i18n";
import { href, wall } from "../route";
import { alarmCounts, alarmsFault, alarmsOff, countOf, evaluation, newAlarms, PRIORITIES } from "../state/alarms";
import { Mark } from "../ui/icons";
import { PrioritySign } from "../ui/priority";

/** What the counts may hide: without it a list that nobody makes looks calm. */
const WRONG: Partial<Record<string, Key>> = {
  UNREAD: "alarms.unread",
  STALLED: "alarms.stalled",
  UNKNOWN: "alarms.unsure",
  PARTIAL: "alarms.partial",
};

export function AlarmBanner(): JSX.Element | null {
  const counts = alarmCounts.value;
  if (alarmsOff.value)
    return (
      <p class="alarm-banner off" title={alarmsOff.value}>
        {t("alarms.off")}
      </p>
    );
  const fault = alarmsFault.value;
  if (!counts)
    return fault ? (
      <p class="alarm-banner off" role="alert" title={fault}>
        {t("alarms.unread")}
      </p>
    ) : null;
  const state = fault ? "UNREAD" : evaluation.value?.state;
  const wrong = WRONG[state ?? ""];
  const aside = counts.shelved + counts.out_of_service;
  const fresh = newAlarms(counts);
  const spoken = PRIORITIES.filter((one) => countOf(counts, one))
    .map((one) => `${countOf(counts, one)} ${named("priority", one)}`)
    .join(", ");
  return (
    <section class={`alarm-banner ${fresh ? "some" : ""}`} aria-label={t("alarms.banner")}>
      <span class="only-heard" role="status" aria-live="polite">
        {fresh ? `${t("alarms.banner")}: ${spoken}` : wrong ? "" : t("alarms.calm")}
      </span>
      <ul>
        {PRIORITIES.map((priority) => {
          const many = countOf(counts, priority);
          return (
            <li>
              <a
                class={many ? priority.toLowerCase() : "none"}
                href={href("alarms", "", { view: "all", priority, prefix: undefined })}
              >
                <PrioritySign priority={priority} kind={many ? "new" : "none"} />
                <b>{count(many)}</b> <span class="name">{named("priority", priority)}</span>{" "}
                <span class="only-heard">{t("alarms.fresh")}</span>
              </a>
            </li>
          );
        })}
      </ul>
      {wrong && (
        <p class="wrong" role="alert" title={fault || evaluation.value?.detail}>
          <Mark level="alarm" />
          {t(wrong)}
        </p>
      )}
      {aside > 0 && !wrong && (
        <a class="aside quiet" href={href("alarms", "", { view: "aside", priority: undefined })}>
          {t("alarms.aside", { count: count(aside) })}
        </a>
      )}
      {!wall.value && (
        <a class="all" href={href("alarms", "", { priority: undefined, view: undefined })}>
          {t("alarms.show")}
        </a>
      )}
    </section>
  );
}
