// The whole plant: its tree with what is wrong rolled up to every level, and a list of what needs attention.
import type { JSX } from "preact";
import { get } from "../api/http";
import type { PlantNode } from "../api/types";
import { count } from "../format";
import { t } from "../i18n";
import { go, here, href, nameOf, route } from "../route";
import { Rest, Panel } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import { Icon, Mark } from "../ui/icons";
import { RUNNING, type Level } from "../ui/level";
import { Attention } from "./attention";

const EVERY_MS = 5000;
/** Enterprise, site, area, line: cells and machines are fetched when a line is opened. */
const DEPTH = 4;

export function Overview(): JSX.Element {
  useTitle(t("overview.title"));
  const opened = route.value.query.getAll("open");
  const plant = useLoad(
    async (cancel) => {
      const below = opened.map((path) =>
        get<{ nodes: PlantNode[] }>("plant", { path, depth: 2 }, cancel).catch(() => ({ nodes: [] })),
      );
      const parts = await Promise.all([get<{ nodes: PlantNode[] }>("plant", { depth: DEPTH }, cancel), ...below]);
      const found = new Map(parts.flatMap((part) => part.nodes).map((node) => [node.path, node]));
      return [...found.values()].filter((node) => node.path).sort((a, b) => byPath(a.path, b.path));
    },
    [opened],
    EVERY_MS,
  );
  const nodes = plant.data;
  const roots = nodes?.filter((node) => node.level === "enterprise") ?? [];
  return (
    <>
      <header class="page">
        <h1>{roots.length === 1 ? roots[0]?.name : t("overview.title")}</h1>
        <Totals roots={roots} />
      </header>
      <div class="columns wide-left">
        <Panel title={t("overview.title")} className="flush">
          {nodes?.length ? (
            <Tree nodes={nodes} opened={opened} />
          ) : (
            <Rest loading={plant.loading} problem={plant.problem} again={plant.again} empty={t("overview.empty")} />
          )}
        </Panel>
        <Attention devices={sum(roots, "devices")} tags={sum(roots, "tags")} />
      </div>
    </>
  );
}

function byPath(a: string, b: string): number {
  const left = a.split("/");
  const right = b.split("/");
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const order = (left[i] as string).localeCompare(right[i] as string, undefined, { numeric: true });
    if (order) return order;
  }
  return left.length - right.length;
}

type Counted = "devices" | "devices_offline" | "tags" | "tags_bad" | "open_anomalies";

function sum(nodes: PlantNode[], field: Counted): number {
  return nodes.reduce((all, node) => all + (node[field] ?? 0), 0);
}

function running(node: PlantNode): number {
  return Object.entries(node.packml_states ?? {}).reduce(
    (all, [state, amount]) => all + (RUNNING.has(state) ? amount : 0),
    0,
  );
}

function Totals({ roots }: { roots: PlantNode[] }): JSX.Element | null {
  if (!roots.length) return null;
  const active = roots.reduce((all, node) => all + running(node), 0);
  const items: { text: string; value: number; level: Level }[] = [
    { text: t("overview.machines"), value: sum(roots, "devices"), level: "none" },
    { text: t("overview.states"), value: active, level: "none" },
    { text: t("overview.offline"), value: sum(roots, "devices_offline"), level: "alarm" },
    { text: t("overview.bad"), value: sum(roots, "tags_bad"), level: "stale" },
    { text: t("overview.anomalies"), value: sum(roots, "open_anomalies"), level: "warn" },
  ];
  return (
    <dl class="totals">
      {items.map(({ text, value, level }) => {
        const abnormal = value > 0 && level !== "none";
        return (
          <div class={abnormal ? level : ""}>
            <dt>{text}</dt>
            <dd>
              {abnormal && <Mark level={level} />}
              {count(value)}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

function Tree({ nodes, opened }: { nodes: PlantNode[]; opened: string[] }): JSX.Element {
  const top = Math.min(...nodes.map((node) => depth(node.path)));
  return (
    <div class="scroll" role="region" aria-label={t("overview.title")} tabIndex={0}>
      <table class="tree">
        <thead>
          <tr>
            <th scope="col">{t("overview.name")}</th>
            <th scope="col" class="figure">
              {t("overview.machines")}
            </th>
            <th scope="col">{t("overview.states")}</th>
            <th scope="col" class="figure">
              {t("overview.offline")}
            </th>
            <th scope="col" class="figure">
              {t("overview.bad")}
            </th>
            <th scope="col" class="figure">
              {t("overview.anomalies")}
            </th>
          </tr>
        </thead>
        <tbody>
          {nodes
            .filter((node) => shown(node, opened))
            .map((node) => (
              <Row node={node} level={depth(node.path) - top} opened={opened} />
            ))}
        </tbody>
      </table>
    </div>
  );
}

function shown(node: PlantNode, opened: string[]): boolean {
  if (node.level !== "cell" && node.level !== "device") return true;
  return opened.some((path) => node.path.startsWith(`${path}/`));
}

function depth(path: string): number {
  return path.split("/").length;
}

function Row({ node, level, opened }: { node: PlantNode; level: number; opened: string[] }): JSX.Element {
  const isLine = node.level === "line";
  const isOpen = opened.includes(node.path);
  const toggle = (): void =>
    go(here({ open: isOpen ? opened.filter((path) => path !== node.path) : [...opened, node.path] }), true);
  const abnormal = node.devices_offline || node.tags_bad || node.open_anomalies;
  return (
    <tr class={`level-${node.level}${abnormal ? "" : " calm"}`}>
      <th scope="row">
        <span class="indent" style={{ paddingLeft: `calc(var(--step) * ${level})` }}>
          {isLine ? (
            <button
              type="button"
              class="twisty"
              aria-expanded={isOpen}
              aria-label={t(isOpen ? "overview.collapse" : "overview.expand", { name: nameOf(node.path) })}
              onClick={toggle}
            >
              <Icon name="chevron" size={14} />
            </button>
          ) : (
            <span class="twisty" />
          )}
          <a href={href(node.level === "device" ? "device" : "plant", node.path)}>{node.name || nameOf(node.path)}</a>
          <span class="quiet kind">
            {node.level === "device"
              ? node.device_class.replaceAll("_", " ")
              : t(`level.${node.level}` as "level.line")}
          </span>
        </span>
      </th>
      <td class="figure quiet">{node.level === "device" ? "" : count(node.devices)}</td>
      <td>
        <States node={node} />
      </td>
      <Figure value={node.devices_offline} level="alarm" />
      <Figure value={node.tags_bad} level="stale" />
      <Figure value={node.open_anomalies} level="warn" />
    </tr>
  );
}

function Figure({ value, level }: { value: number; level: "warn" | "alarm" | "stale" }): JSX.Element {
  return (
    <td class="figure">
      {value ? (
        <span class={`abnormal ${level}`}>
          <Mark level={level} />
          {count(value)}
        </span>
      ) : (
        <span class="zero">0</span>
      )}
    </td>
  );
}

/** How many machines run: a bar in grey, for running is normal. */
function States({ node }: { node: PlantNode }): JSX.Element | null {
  const states = Object.entries(node.packml_states ?? {});
  const total = states.reduce((all, [, amount]) => all + amount, 0);
  if (!total) return null;
  const active = running(node);
  if (node.level === "device") return <span class="quiet">{t(`packml.${states[0]?.[0]}` as "packml.EXECUTE")}</span>;
  return (
    <span
      class="states"
      title={states.map(([state, amount]) => `${t(`packml.${state}` as "packml.EXECUTE")}: ${amount}`).join(", ")}
    >
      <span class="strip" aria-hidden="true">
        <span style={{ width: `${(active / total) * 100}%` }} />
      </span>
      <span class="text">{t("overview.running", { running: active, total })}</span>
      <span class="short" aria-hidden="true">
        {active} / {total}
      </span>
    </span>
  );
}
