// The alarms that are drawn over trends, as a list: what a keyboard and a screen reader reach, each with the way to the alarm itself.
import type { JSX } from "preact";
import { get, type Problem } from "../api/http";
import type { AlarmActivation } from "../api/types";
import { count, duration } from "../format";
import { named, t } from "../i18n";
import { href, nameOf } from "../route";
import { now } from "../state/clock";
import { whoIs } from "../state/people";
import { Failure, Table, Time } from "../ui/bits";
import { PrioritySign } from "../ui/priority";

const SHOWN = 20;

export interface Held {
  activations: AlarmActivation[];
  left_out: number;
}

export const NO_ALARMS: Held = { activations: [], left_out: 0 };

/** When alarms of machines, and of their gateways, held within a range; the newest first. */
export async function alarmsWithin(
  devices: string[],
  start_us: number,
  end_us: number | undefined,
  cancel: AbortSignal,
): Promise<Held> {
  const each = await Promise.all(
    devices.map((prefix) => get<Held>("alarms/activations", { prefix, start_us, end_us }, cancel)),
  );
  // A gateway's alarm comes with each of its machines.
  const found = new Map(
    each.flatMap((one) => one.activations).map((one) => [`${one.alarm_id} ${one.raised_us}`, one]),
  );
  return {
    activations: [...found.values()].sort((a, b) => b.raised_us - a.raised_us),
    left_out: each.reduce((sum, one) => sum + Number(one.left_out), 0),
  };
}

export function AlarmList({
  held,
  problem,
  again,
  point,
}: {
  held: Held;
  problem: Problem | undefined;
  again: () => void;
  point: (alarm_id: string) => void;
}): JSX.Element | null {
  if (problem) return <Failure problem={problem} again={again} />;
  const { activations, left_out } = held;
  if (!activations.length) return null;
  const more = activations.length - Math.min(SHOWN, activations.length) + left_out;
  return (
    <section class="panel flush trend-alarms">
      <header>
        <h2>{t("trends.alarms")}</h2>
      </header>
      <Table
        label={t("trends.alarms")}
        head={[t("alarms.title"), t("trends.where"), t("alarms.raised"), t("trends.lasted"), t("alarms.acknowledgedBy")]}
      >
        {activations.slice(0, SHOWN).map((one) => (
          <tr
            onMouseEnter={() => point(one.alarm_id)}
            onMouseLeave={() => point("")}
            onFocusIn={() => point(one.alarm_id)}
            onFocusOut={() => point("")}
          >
            <th scope="row">
              <a class="with-sign" href={href("alarms", "", { alarm: one.alarm_id })} title={one.detail}>
                <PrioritySign priority={one.priority} kind={one.acknowledged_us ? "noted" : "new"} size={18} />
                <span class="only-heard">{named("priority", one.priority)}: </span>
                {one.title || one.rule}
              </a>
            </th>
            <td class="quiet">{nameOf(one.path)}</td>
            <td>
              <Time us={one.raised_us} />
            </td>
            <td>
              {duration(Math.max(0, (one.returned_us ?? now.value) - one.raised_us))}
              {!one.returned_us && <span class="abnormal"> {t("trends.holds")}</span>}
            </td>
            <td class="quiet">
              {one.acknowledged_us ? (
                <>
                  ✓ {whoIs(one.acknowledged_by)} <Time us={one.acknowledged_us} />
                </>
              ) : (
                t("alarms.fresh")
              )}
            </td>
          </tr>
        ))}
      </Table>
      {more > 0 && <p class="note">{t("trends.moreAlarms", { count: count(more) })}</p>}
    </section>
  );
}
