// The reasons of an episode, strongest first, each with what was expected.
import type { JSX } from "preact";
import type { Anomaly } from "../api/types";
import { number } from "../format";
import { t } from "../i18n";
import { href } from "../route";
import { reasonText } from "./reasons";

const MOST = 4;

export function EpisodeReasons({ anomaly }: { anomaly: Anomaly }): JSX.Element {
  const strongest = [...anomaly.contributors].sort((a, b) => b.score - a.score).slice(0, MOST);
  return (
    <ul class="reasons">
      {strongest.map((one) => (
        <li>
          <a href={href("trends", "", { tag: one.path })}>{reasonText(one)}</a>{" "}
          <span class="quiet">{number(one.score, 2)}</span>
        </li>
      ))}
      {!strongest.length && <li class="quiet">{t("app.none")}</li>}
    </ul>
  );
}
