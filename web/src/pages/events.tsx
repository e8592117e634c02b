// Births, deaths, states, texts, gaps and what was refused at the edge; new ones come by themselves while the range ends now.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get } from "../api/http";
import type { PlantEvent } from "../api/types";
import { named, t } from "../i18n";
import { range } from "../range";
import { route } from "../route";
import { Badge, DeviceLink, Failure, Rest, Table, Time } from "../ui/bits";
import { useLoad, useSubscription, useTitle } from "../ui/hooks";
import type { Level } from "../ui/level";
import { Choice, PartPicker, RangePicker } from "./filters";

const PAGE = 200;
const KINDS = ["BIRTH", "DEATH", "STATE", "STRING", "PROPOSAL", "REFUSED", "GAP"];
const LEVEL: Record<string, Level> = { DEATH: "alarm", GAP: "warn", REFUSED: "warn" };

export function Events(): JSX.Element {
  useTitle(t("events.title"));
  const { query } = route.value;
  const prefix = query.get("prefix") ?? "";
  const kind = query.get("kind") ?? "";
  const { start_us, end_us, live } = range.value;
  const [fresh, setFresh] = useState<PlantEvent[]>([]);
  useSubscription(live ? { what: "events", prefix } : undefined, (message) => {
    const event = message.event as PlantEvent | undefined;
    if (event) setFresh((before) => [event, ...before].slice(0, PAGE));
  });
  const listed = useLoad(
    async (cancel) =>
      (
        await get<{ events: PlantEvent[] }>(
          "events",
          {
            prefix,
            kinds: kind,
            start_us: Math.round(start_us),
            end_us: live ? undefined : Math.round(end_us),
            page_size: PAGE,
          },
          cancel,
        )
      ).events,
    [prefix, kind, live ? query.get("from") : [start_us, end_us]],
  );
  const heard = live ? fresh.filter((one) => !kind || one.kind === kind) : [];
  const all = [...new Map([...heard, ...(listed.data ?? [])].map((one) => [one.event_id, one])).values()].sort(
    (a, b) => b.time_us - a.time_us,
  );
  return (
    <>
      <header class="page">
        <h1>{t("events.title")}</h1>
      </header>
      <div class="filters">
        <RangePicker />
        <PartPicker />
        <Choice name="kind" label={t("filter.kind")} options={KINDS} text={(one) => named("event", one)} />
      </div>
      {listed.problem && all.length > 0 && <Failure problem={listed.problem} again={listed.again} />}
      {!all.length ? (
        <Rest loading={listed.loading} problem={listed.problem} again={listed.again} empty={t("events.none")} />
      ) : (
        <div class="panel flush">
          <Table
            label={t("events.title")}
            className="list"
            head={[t("events.time"), t("events.kind"), t("events.where"), t("events.text")]}
          >
            {all.map((one) => (
              <EventRow event={one} />
            ))}
          </Table>
        </div>
      )}
    </>
  );
}

export function EventRow({ event }: { event: PlantEvent }): JSX.Element {
  const level = LEVEL[event.kind];
  return (
    <tr>
      <td class="time">
        <Time us={event.time_us} />
      </td>
      <td>{level ? <Badge level={level}>{named("event", event.kind)}</Badge> : named("event", event.kind)}</td>
      <td>{event.device_path ? <DeviceLink path={event.device_path} /> : event.gateway_id}</td>
      <td class="text">
        {event.text}
        <Attributes event={event} />
      </td>
    </tr>
  );
}

function Attributes({ event }: { event: PlantEvent }): JSX.Element | null {
  const entries = Object.entries(event.attributes ?? {}).slice(0, 6);
  return entries.length ? (
    <span class="quiet small">{entries.map(([name, value]) => `${name} ${value}`).join(" · ")}</span>
  ) : null;
}
