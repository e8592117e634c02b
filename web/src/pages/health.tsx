// The line from the machines to SQL: each stage with its progress, each gateway with its connections.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get } from "../api/http";
import type { Gateway, LineHealth } from "../api/types";
import { bytes, count } from "../format";
import { named, t } from "../i18n";
import { Age, Badge, Panel, Rest, stageName, Table } from "../ui/bits";
import { useLoad, useSubscription, useTitle } from "../ui/hooks";
import { Mark } from "../ui/icons";
import { healthLevel, type Level } from "../ui/level";
import { Attributes } from "./attributes";

const EVERY_MS = 5000;
const GATEWAY_LEVEL: Record<string, Level> = { ONLINE: "none", DEGRADED: "warn", SILENT: "alarm" };

export function Health(): JSX.Element {
  useTitle(t("health.title"));
  const line = useLoad((cancel) => get<LineHealth>("line", {}, cancel), [], EVERY_MS);
  const listed = useLoad(
    async (cancel) => (await get<{ gateways: Gateway[] }>("gateways", {}, cancel)).gateways,
    [],
    EVERY_MS * 4,
  );
  const [heard, hear] = useState<Map<string, Gateway>>(new Map());
  useSubscription({ what: "gateways" }, (message) => {
    const found = message.gateway as Gateway | undefined;
    if (found) hear((before) => new Map(before).set(found.gateway_id, found));
  });
  const gateways = [
    ...new Map([...(listed.data ?? []).map((one): [string, Gateway] => [one.gateway_id, one]), ...heard]).values(),
  ].sort((a, b) => a.gateway_id.localeCompare(b.gateway_id));
  return (
    <>
      <header class="page">
        <h1>{t("health.title")}</h1>
        {line.data && <Badge level={healthLevel(line.data.health)}>{named("health", line.data.health)}</Badge>}
      </header>
      {!line.data ? (
        <Rest loading={line.loading} problem={line.problem} again={line.again} empty="" />
      ) : (
        <ol class="stages">
          {line.data.stages.map((stage) => (
            <li class={healthLevel(stage.health)}>
              <b>
                <Mark level={healthLevel(stage.health)} />
                {stageName(stage.name)}
              </b>
              <span>{named("health", stage.health)}</span>
              {stage.detail && <span class="quiet detail">{stage.detail}</span>}
              {stage.advanced_us > 0 && (
                <span class="quiet small">
                  <Advanced us={stage.advanced_us} />
                </span>
              )}
            </li>
          ))}
        </ol>
      )}
      <Panel title={t("health.gateways")} className="flush">
        {!gateways.length ? (
          <Rest loading={listed.loading} problem={listed.problem} again={listed.again} empty={t("health.none")} />
        ) : (
          <Table
            label={t("health.gateways")}
            className="list"
            head={[
              t("health.gateway"),
              t("commands.state"),
              [t("health.reported"), "figure"],
              t("health.connections"),
              [t("health.buffer"), "figure"],
              [t("health.dead"), "figure"],
            ]}
          >
            {gateways.map((one) => (
              <Row gateway={one} />
            ))}
          </Table>
        )}
      </Panel>
    </>
  );
}

function Advanced({ us }: { us: number }): JSX.Element {
  const [before, after] = t("health.advanced", { age: "|" }).split("|");
  return (
    <>
      {before}
      <Age since_us={us} />
      {after}
    </>
  );
}

function Row({ gateway }: { gateway: Gateway }): JSX.Element {
  const level = GATEWAY_LEVEL[gateway.state] ?? "stale";
  const dead = gateway.dead_device_ids?.length ?? 0;
  return (
    <tr>
      <th scope="row">
        {gateway.gateway_id}
        <span class="quiet small">{gateway.site}</span>
        <Attributes gateway={gateway} />
      </th>
      <td>
        {level === "none" ? (
          named("state", gateway.state)
        ) : (
          <Badge level={level}>{named("state", gateway.state)}</Badge>
        )}
      </td>
      <td class="figure age">
        <Age since_us={gateway.reported_us} />
      </td>
      <td>
        <ul class="plain-list connections">
          {gateway.connections.map((one) => (
            <li>
              {one.connected ? (
                <span>
                  {one.name} <span class="quiet">{t("health.up")}</span>
                </span>
              ) : (
                <Badge level="alarm">
                  {one.name} {t("health.down")}
                </Badge>
              )}
              {one.detail && <span class="quiet small">{one.detail}</span>}
            </li>
          ))}
        </ul>
      </td>
      <td class="figure">
        {bytes(gateway.buffered_bytes)}
        <span class="quiet small">{t("health.samples", { count: count(gateway.buffered_samples) })}</span>
      </td>
      <td class="figure">
        {dead ? (
          <span class="abnormal alarm">
            <Mark level="alarm" />
            {dead}
          </span>
        ) : (
          <span class="zero">0</span>
        )}
      </td>
    </tr>
  );
}
