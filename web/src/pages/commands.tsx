// Commands: those that wait for a second person first, then all of a range.
import type { JSX } from "preact";
import { get } from "../api/http";
import type { Command } from "../api/types";
import { t } from "../i18n";
import { named } from "../i18n";
import { range } from "../range";
import { href, route } from "../route";
import { followed, pending } from "../state/commands";
import { whoIs } from "../state/people";
import { CommandBadge, DeviceLink, Failure, Panel, Rest, Table, Time } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import { Decide } from "./decide";
import { orderText } from "./device";
import { Choice, PartPicker, RangePicker } from "./filters";

const PAGE = 200;
const STATES = [
  "PENDING_APPROVAL",
  "ACCEPTED",
  "DELIVERED",
  "EXECUTING",
  "SUCCEEDED",
  "FAILED",
  "REJECTED",
  "EXPIRED",
  "CANCELLED",
  "UNKNOWN",
];

export function Commands(): JSX.Element {
  useTitle(t("commands.title"));
  const { query } = route.value;
  const prefix = query.get("prefix") ?? "";
  const state = query.get("state") ?? "";
  const { start_us, end_us, live } = range.value;
  const listed = useLoad(
    async (cancel) =>
      (
        await get<{ commands: Command[] }>(
          "commands",
          {
            prefix,
            states: state,
            since_us: Math.round(start_us),
            until_us: live ? undefined : Math.round(end_us),
            page_size: PAGE,
          },
          cancel,
        )
      ).commands,
    [prefix, state, live ? query.get("from") : [start_us, end_us]],
    30_000,
  );
  const heard = [...followed.value.values()]
    .map((one) => one.command)
    .filter((one) => fits(one, prefix, state, start_us, live ? Number.POSITIVE_INFINITY : end_us));
  const all = new Map([...(listed.data ?? []), ...heard].map((one) => [one.command_id, one]));
  const sorted = [...all.values()]
    .filter((one) => !state || one.state === state)
    .sort((a, b) => b.submitted_us - a.submitted_us);
  const waiting = pending.value;
  return (
    <>
      <header class="page">
        <h1>{t("commands.title")}</h1>
      </header>
      {waiting.length > 0 && (
        <Panel title={t("commands.waiting")}>
          <ul class="waiting">
            {waiting.map((one) => (
              <li>
                <div>
                  <DeviceLink path={one.device_path} />
                  <a href={href("command", one.command_id)}>
                    <b>{orderText(one.name, one.parameters)}</b>
                  </a>
                  <span class="quiet">
                    {whoIs(one.submitted_by)} · <Time us={one.submitted_us} />
                    {one.reason && ` · ${one.reason}`}
                  </span>
                </div>
                <Decide command={one} />
              </li>
            ))}
          </ul>
        </Panel>
      )}
      <div class="filters">
        <RangePicker />
        <PartPicker />
        <Choice name="state" label={t("filter.state")} options={STATES} text={(one) => named("command", one)} />
      </div>
      {listed.problem && sorted.length > 0 && <Failure problem={listed.problem} again={listed.again} />}
      {!sorted.length ? (
        <Rest loading={listed.loading} problem={listed.problem} again={listed.again} empty={t("commands.empty")} />
      ) : (
        <div class="panel flush">
          <Table
            label={t("commands.list")}
            className="list"
            head={[
              t("commands.what"),
              t("commands.machine"),
              t("commands.state"),
              t("commands.by"),
              t("commands.at"),
              t("commands.detail"),
            ]}
          >
            {sorted.map((one) => (
              <tr>
                <th scope="row">
                  <a href={href("command", one.command_id)}>{orderText(one.name, one.parameters)}</a>
                </th>
                <td>
                  <DeviceLink path={one.device_path} />
                </td>
                <td>
                  <CommandBadge state={one.state} provisional={one.provisional} />
                </td>
                <td>
                  {whoIs(one.submitted_by)}
                  {one.approved_by && (
                    <span class="quiet small">
                      {" "}
                      {t("commands.approvedBy")} {whoIs(one.approved_by)}
                    </span>
                  )}
                </td>
                <td>
                  <Time us={one.submitted_us} />
                </td>
                <td class="text">{one.detail || one.reason}</td>
              </tr>
            ))}
          </Table>
        </div>
      )}
    </>
  );
}

function fits(command: Command, prefix: string, state: string, start_us: number, end_us: number): boolean {
  if (prefix && command.device_path !== prefix && !command.device_path.startsWith(`${prefix}/`)) return false;
  if (state && command.state !== state) return false;
  return command.submitted_us >= start_us && command.submitted_us < end_us;
}
