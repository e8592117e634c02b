// What is abnormal now, worst first: a machine that cannot be heard, a line that stands, anomalies, commands that wait for somebody.
import type { JSX } from "preact";
import { get } from "../api/http";
import type { Device, Gateway, LineHealth } from "../api/types";
import { count, duration } from "../format";
import { named, t } from "../i18n";
import { href, nameOf, parentOf, placeOf } from "../route";
import { openAnomalies } from "../state/anomalies";
import { now } from "../state/clock";
import { pending } from "../state/commands";
import { whoIs } from "../state/people";
import { Failure, Panel, stageName, Unbroken } from "../ui/bits";
import { useLoad } from "../ui/hooks";
import { Mark } from "../ui/icons";
import { healthLevel, type Level } from "../ui/level";
import { reasonText } from "./reasons";

const EVERY_MS = 5000;
const MOST = 30;

interface Item {
  level: Level;
  kind: string;
  text: string;
  where: string;
  since_us: number;
  href: string;
}

export function Attention({ devices, tags }: { devices: number; tags: number }): JSX.Element {
  const offline = useLoad(
    async (cancel) =>
      (await get<{ devices: Device[] }>("devices", { state: "OFFLINE", page_size: MOST }, cancel)).devices,
    [],
    EVERY_MS,
  );
  const line = useLoad((cancel) => get<LineHealth>("line", {}, cancel), [], EVERY_MS);
  const gateways = useLoad(
    async (cancel) => (await get<{ gateways: Gateway[] }>("gateways", {}, cancel)).gateways,
    [],
    EVERY_MS,
  );
  const items = [
    ...stageItems(line.data),
    ...gatewayItems(gateways.data ?? []),
    ...deviceItems(offline.data ?? []),
    ...commandItems(),
    ...anomalyItems(),
  ].sort((a, b) => Number(b.level === "alarm") - Number(a.level === "alarm"));
  const problem = offline.problem ?? line.problem;
  return (
    <Panel
      title={t("overview.attention")}
      className="flush attention"
      extra={items.length ? <span class="amount quiet">{count(items.length)}</span> : null}
    >
      {items.length > 0 && (
        <ul class="attention">
          {items.slice(0, MOST).map((item) => (
            <Row item={item} />
          ))}
        </ul>
      )}
      {items.length > MOST && (
        <p class="note">
          <a href={href("anomalies")}>{t("app.more")}</a>
        </p>
      )}
      {problem ? (
        <Failure problem={problem} />
      ) : (
        !items.length &&
        offline.data &&
        line.data && (
          <p class="note calm">
            <b>{t("overview.calm")}</b>{" "}
            <span class="quiet">{t("overview.judged", { devices: count(devices), tags: count(tags) })}</span>
          </p>
        )
      )}
    </Panel>
  );
}

function Row({ item }: { item: Item }): JSX.Element {
  return (
    <li>
      <a href={item.href}>
        <Mark level={item.level} />
        <span class="what">
          <b>{item.where}</b> <span class="quiet">{item.kind}</span>
          <span class="text">
            <Unbroken text={item.text} />
          </span>
        </span>
        <span class="age">{item.since_us ? duration(now.value - item.since_us) : ""}</span>
      </a>
    </li>
  );
}

function stageItems(line: LineHealth | undefined): Item[] {
  const wrong = (line?.stages ?? []).filter((stage) => stage.health !== "OK" && stage.health !== "UNKNOWN");
  return wrong.map((stage) => ({
    level: healthLevel(stage.health),
    kind: named("health", stage.health),
    text: stage.detail,
    where: stageName(stage.name),
    since_us: stage.advanced_us,
    href: href("health"),
  }));
}

function gatewayItems(gateways: Gateway[]): Item[] {
  return gateways
    .filter((gateway) => gateway.state !== "ONLINE")
    .map((gateway) => ({
      level: gateway.state === "SILENT" ? "alarm" : "warn",
      kind: named("state", gateway.state),
      text: gateway.connections
        .filter((one) => !one.connected)
        .map((one) => `${one.name}: ${one.detail || t("health.down")}`)
        .join("; "),
      where: gateway.gateway_id,
      since_us: gateway.state === "SILENT" ? gateway.reported_us : 0,
      href: href("health"),
    }));
}

function deviceItems(devices: Device[]): Item[] {
  return devices.map((device) => ({
    level: "alarm",
    kind: t("state.OFFLINE"),
    text: placeOf(parentOf(device.path)),
    where: nameOf(device.path),
    since_us: 0,
    href: href("device", device.path),
  }));
}

function commandItems(): Item[] {
  return pending.value.map((command) => ({
    level: "warn",
    kind: t("overview.waiting"),
    text: `${named("verb", command.name)} · ${whoIs(command.submitted_by)}`,
    where: nameOf(command.device_path),
    since_us: command.submitted_us,
    href: href("command", command.command_id),
  }));
}

function anomalyItems(): Item[] {
  return openAnomalies.value.map((anomaly) => ({
    level: "warn",
    kind: t("trends.anomaly"),
    text: anomaly.contributors.slice(0, 1).map(reasonText).join(),
    where: nameOf(anomaly.device_path),
    since_us: anomaly.start_us,
    href: href("anomalies", anomaly.episode_id, { open: "1" }),
  }));
}
