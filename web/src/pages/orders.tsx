// Job orders: what is made for whom by when, each on the axis of the range with its plan, its execution and its good pieces against the plan.
import type { JSX } from "preact";
import { get, pages } from "../api/http";
import type { Device } from "../api/types";
import type { JobOrder, Oee } from "../api/work";
import { count, fullTime, time } from "../format";
import { named, t } from "../i18n";
import { range, spanOf } from "../range";
import { href, placeOf, route } from "../route";
import { now } from "../state/clock";
import { Badge, Panel, Rest, Table } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import type { Level } from "../ui/level";
import { Choice, PartPicker, RangePicker } from "./filters";

const EVERY_MS = 30_000;
const STATUSES = ["PLANNED", "RELEASED", "RUNNING", "COMPLETED", "CANCELLED"];
/** OEE is read for so long at most. */
const MOST_US = 31 * 86_400e6;
/** An order that is this far behind an even pace is said to be late. */
const LATE = 0.05;

export function OrdersPage(): JSX.Element {
  useTitle(t("orders.title"));
  const { query } = route.value;
  const scope = query.get("prefix") ?? "";
  const status = query.get("status") ?? "";
  const { start_us, end_us, key } = spanOf();
  const found = useLoad(
    (cancel) =>
      pages<JobOrder>("work/job-orders", "job_orders", { scope, statuses: status, start_us, end_us }, 500, cancel),
    [scope, status, key],
    EVERY_MS,
  );
  const first = Math.min(...(found.data ?? []).flatMap((order) => order.responses.map((one) => one.start_us)));
  const made = useLoad(
    async (cancel) => (Number.isFinite(first) ? await goodOf(scope, first, cancel) : new Map<string, number>()),
    [scope, first],
    EVERY_MS,
  );
  const orders = found.data ?? [];
  return (
    <>
      <header class="page">
        <h1>{t("orders.title")}</h1>
      </header>
      <div class="filters">
        <RangePicker />
        <PartPicker />
        <Choice name="status" label={t("filter.state")} options={STATUSES} text={(one) => named("order", one)} />
      </div>
      <Panel title={t("orders.title")} className="flush">
        {!orders.length ? (
          <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("orders.none")} />
        ) : (
          <Table
            label={t("orders.title")}
            className="list orders"
            head={[
              t("orders.order"),
              t("commands.state"),
              t("orders.place"),
              [t("orders.good"), "figure"],
              t("orders.progress"),
              <Axis />,
            ]}
          >
            {orders.map((order) => (
              <Row order={order} good={made.data && (made.data.get(order.job_order) ?? 0)} />
            ))}
          </Table>
        )}
      </Panel>
    </>
  );
}

/** Good pieces of each order so far. A piece that passes several kinds of machines counts once: by the kind that has made the fewest. */
async function goodOf(scope: string, first_us: number, cancel: AbortSignal): Promise<Map<string, number>> {
  const start_us = Math.max(first_us, now.peek() - MOST_US);
  const [devices, { rows }] = await Promise.all([
    pages<Device>("devices", "devices", { prefix: scope }, 5000, cancel),
    get<{ rows: Oee[] }>("oee", { prefix: scope, start_us, by: ["order", "device"] }, cancel),
  ]);
  const kinds = new Map(devices.map((one) => [one.path, one.device_class]));
  const found = new Map<string, number>();
  for (const [order, all] of Map.groupBy(rows, (row) => row.job_order)) {
    const counted = Map.groupBy(
      all.filter((row) => row.ideal_s !== null && row.ideal_s !== undefined),
      (row) => kinds.get(row.path) ?? "",
    );
    const sums = [...counted.values()].map((some) => some.reduce((sum, row) => sum + row.gq + row.unplanned_gq, 0));
    if (order && sums.length) found.set(order, Math.min(...sums));
  }
  return found;
}

/** What an even pace would have made by now. */
function expectedOf(order: JobOrder): number {
  const part = (now.value - order.planned_start_us) / (order.planned_end_us - order.planned_start_us);
  return order.quantity * Math.min(Math.max(part, 0), 1);
}

function levelOf(order: JobOrder, good: number | undefined): Level {
  if (good === undefined) return "none";
  const late = expectedOf(order) - good > order.quantity * LATE;
  return late && (order.status === "RUNNING" || order.status === "RELEASED") ? "warn" : "none";
}

/** `good` is undefined until it is known: that is not none. */
function Row({ order, good }: { order: JobOrder; good: number | undefined }): JSX.Element {
  const expected = expectedOf(order);
  const done = Math.min((good ?? 0) / order.quantity, 1);
  const shown = good === undefined ? "–" : count(Math.round(good));
  const due = Math.min(expected / order.quantity, 1);
  const level = levelOf(order, good);
  const text = t("orders.of", {
    good: shown,
    quantity: count(order.quantity),
    due: count(Math.round(expected)),
  });
  return (
    <tr>
      <th scope="row">
        {order.job_order}
        <span class="quiet small">{order.material}</span>
      </th>
      <td>
        {level === "none" ? (
          named("order", order.status)
        ) : (
          <Badge level={level}>{t("orders.late", { status: named("order", order.status) })}</Badge>
        )}
      </td>
      <td>
        <a href={href("oee", order.scope)}>{placeOf(order.scope)}</a>
      </td>
      <td class="figure">
        {shown} <span class="quiet">/ {count(order.quantity)}</span>
      </td>
      <td>
        <span class="order-bar" role="img" aria-label={text} title={text}>
          <span class="done" style={{ width: `${done * 100}%` }} />
          <span class="due" style={{ left: `${due * 100}%` }} />
        </span>
      </td>
      <td class="gantt">
        <Gantt order={order} />
      </td>
    </tr>
  );
}

function place(us: number): number {
  const { start_us, end_us } = drawn();
  return (Math.min(Math.max(us - start_us, 0), end_us - start_us) / (end_us - start_us)) * 100;
}

/** The range, and half as long again after it when it ends now: what is planned lies ahead. */
function drawn(): { start_us: number; end_us: number } {
  const { start_us, end_us, live } = range.value;
  return { start_us, end_us: live ? end_us + (end_us - start_us) / 2 : end_us };
}

function Gantt({ order }: { order: JobOrder }): JSX.Element {
  const begins = order.responses.map((one) => one.start_us);
  const begin = begins.length ? Math.min(...begins) : 0;
  const end = Math.max(...order.responses.map((one) => one.end_us ?? now.value));
  const text = `${fullTime(order.planned_start_us)} – ${fullTime(order.planned_end_us)}`;
  const [left, right] = [place(order.planned_start_us), place(order.planned_end_us)];
  return (
    <span class="gantt-of" role="img" aria-label={text} title={text}>
      <span class="plan" style={{ left: `${left}%`, width: `${Math.max(right - left, 0.5)}%` }} />
      {begin > 0 && (
        <span class="real" style={{ left: `${place(begin)}%`, width: `${Math.max(place(end) - place(begin), 0.5)}%` }} />
      )}
      <span class="now" style={{ left: `${place(now.value)}%` }} />
    </span>
  );
}

function Axis(): JSX.Element {
  const { start_us, end_us } = drawn();
  return (
    <span class="axis">
      {[0, 0.5, 1].map((part) => (
        <span>{time(start_us + (end_us - start_us) * part, false)}</span>
      ))}
    </span>
  );
}
