// Data quality: what was rejected and why, what is stale or bad now, gaps, and the account of every sample.
import type { JSX } from "preact";
import { get } from "../api/http";
import type { Accounting, LaneAccount, PlantEvent, Reject, RejectCount, Tag } from "../api/types";
import { count, number, withUnit, words } from "../format";
import { t } from "../i18n";
import { spanOf } from "../range";
import { route } from "../route";
import { remember } from "../state/values";
import { unitOf } from "../state/units";
import { Age, Badge, DeviceLink, Panel, QualityText, Rest, Table, TagName, Time } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import { Mark } from "../ui/icons";
import { EventRow } from "./events";
import { PartPicker, RangePicker } from "./filters";

const EVERY_MS = 10_000;
const SHOWN = 50;

export function Quality(): JSX.Element {
  useTitle(t("nav.quality"));
  const prefix = route.value.query.get("prefix") ?? "";
  return (
    <>
      <header class="page">
        <h1>{t("nav.quality")}</h1>
      </header>
      <AccountPanel />
      <div class="filters">
        <RangePicker />
        <PartPicker />
      </div>
      <div class="columns">
        <div>
          <Counts prefix={prefix} />
          <Gaps prefix={prefix} />
        </div>
        <div>
          <Tags title={t("dq.stale")} empty={t("dq.noStale")} query={{ prefix, stale: true }} />
          <Tags title={t("dq.bad")} empty={t("dq.noBad")} query={{ prefix, quality: "BAD", stale: false }} />
        </div>
      </div>
      <Latest prefix={prefix} />
    </>
  );
}

function Counts({ prefix }: { prefix: string }): JSX.Element {
  const { start_us, end_us, key } = spanOf();
  const found = useLoad(
    async (cancel) =>
      (await get<{ counts: RejectCount[] }>("rejects/counts", { prefix, start_us, end_us }, cancel)).counts,
    [prefix, key],
    EVERY_MS * 3,
  );
  const byReason = Map.groupBy(found.data ?? [], (one) => one.reason);
  const rows = [...byReason]
    .map(([reason, counts]) => ({ reason, counts, total: counts.reduce((all, one) => all + one.count, 0) }))
    .sort((a, b) => b.total - a.total);
  const most = rows[0]?.total ?? 1;
  return (
    <Panel title={t("dq.rejects")} className="flush">
      {!rows.length ? (
        <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("dq.noRejects")} />
      ) : (
        <Table label={t("dq.rejects")} head={[t("dq.reason"), [t("dq.count"), "figure"], t("dq.machine")]}>
          {rows.map((row) => (
            <tr>
              <th scope="row">{words(row.reason.toLowerCase())}</th>
              <td class="figure">
                <span class="amount-bar">
                  <span aria-hidden="true" style={{ width: `${(row.total / most) * 100}%` }} />
                </span>
                {count(row.total)}
              </td>
              <td>
                {row.counts.slice(0, 3).map((one) => (
                  <DeviceLink path={one.device_path} place={false} />
                ))}
                {row.counts.length > 3 && <span class="quiet"> +{row.counts.length - 3}</span>}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function Gaps({ prefix }: { prefix: string }): JSX.Element {
  const { start_us, end_us, key } = spanOf();
  const found = useLoad(
    async (cancel) =>
      (
        await get<{ events: PlantEvent[] }>(
          "events",
          { prefix, kinds: "GAP", start_us, end_us, page_size: SHOWN },
          cancel,
        )
      ).events,
    [prefix, key],
    EVERY_MS * 3,
  );
  return (
    <Panel title={t("dq.gaps")} className="flush">
      {!found.data?.length ? (
        <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("dq.noGaps")} />
      ) : (
        <Table label={t("dq.gaps")} head={[t("events.time"), t("events.kind"), t("events.where"), t("events.text")]}>
          {found.data.map((one) => (
            <EventRow event={one} />
          ))}
        </Table>
      )}
    </Panel>
  );
}

function Tags({
  title,
  empty,
  query,
}: {
  title: string;
  empty: string;
  query: Record<string, string | boolean>;
}): JSX.Element {
  const found = useLoad(
    async (cancel) => {
      const page = await get<{ tags: Tag[]; next_page_token: string }>("tags", { ...query, page_size: SHOWN }, cancel);
      remember(page.tags);
      return page;
    },
    [query],
    EVERY_MS,
  );
  const tags = found.data?.tags ?? [];
  return (
    <Panel
      title={title}
      className="flush"
      extra={
        tags.length ? (
          <span class="amount quiet">
            {count(tags.length)}
            {found.data?.next_page_token ? "+" : ""}
          </span>
        ) : null
      }
    >
      {!tags.length ? (
        <Rest loading={found.loading} problem={found.problem} again={found.again} empty={empty} />
      ) : (
        <Table
          label={title}
          head={[t("device.measurement"), t("dq.machine"), t("device.quality"), [t("device.age"), "figure"]]}
        >
          {tags.map((tag) => (
            <tr>
              <th scope="row">
                <TagName path={tag.path} />
              </th>
              <td>
                <DeviceLink path={tag.device_path} />
              </td>
              <td>
                {tag.last && <QualityText quality={tag.last.quality} code={tag.last.quality_code} stale={tag.stale} />}
              </td>
              <td class="figure age">{tag.last ? <Age since_us={tag.last.time_us} /> : t("device.never")}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function Latest({ prefix }: { prefix: string }): JSX.Element {
  const { start_us, end_us, key } = spanOf();
  const found = useLoad(
    async (cancel) =>
      (await get<{ rejects: Reject[] }>("rejects", { prefix, start_us, end_us, page_size: SHOWN }, cancel)).rejects,
    [prefix, key],
    EVERY_MS * 3,
  );
  return (
    <Panel title={t("dq.latest")} className="flush">
      {!found.data?.length ? (
        <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("dq.noRejects")} />
      ) : (
        <Table
          label={t("dq.latest")}
          className="list"
          head={[
            t("events.time"),
            t("dq.reason"),
            t("device.measurement"),
            [t("device.value"), "figure"],
            t("dq.detail"),
          ]}
        >
          {found.data.map((one) => (
            <tr>
              <td class="time">
                <Time us={one.rejected_us} />
              </td>
              <td>{words(one.reason.toLowerCase())}</td>
              <th scope="row">{one.path ? <DeviceLinkOf path={one.path} /> : one.gateway_id}</th>
              <td class="figure">
                {one.value === null || one.value === undefined
                  ? "–"
                  : one.tag_id
                    ? withUnit(one.value, unitOf(one.tag_id))
                    : number(one.value)}
              </td>
              <td class="text">{one.detail}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function DeviceLinkOf({ path }: { path: string }): JSX.Element {
  return (
    <span class="tag-of">
      <TagName path={path} /> <DeviceLink path={path.slice(0, path.lastIndexOf("/"))} place={false} />
    </span>
  );
}

const PARTS = ["produced", "calculated", "stored", "rejected", "suppressed", "held", "in_flight", "dropped", "missing"] as const;
const HEAD = {
  produced: "dq.produced",
  calculated: "dq.calculated",
  stored: "dq.stored",
  rejected: "dq.rejected",
  suppressed: "dq.suppressed",
  held: "dq.held",
  in_flight: "dq.inFlight",
  dropped: "dq.dropped",
  missing: "dq.missing",
} as const;

/** What is lost: a gateway said so with a gap event, or nobody knows. */
const LOST: { [part in (typeof PARTS)[number]]?: "warn" | "alarm" } = { dropped: "warn", missing: "alarm" };

/** Produced + calculated = stored + rejected + suppressed + held + in flight + dropped, lane by lane. */
function AccountPanel(): JSX.Element {
  const found = useLoad((cancel) => get<Accounting>("accounting", {}, cancel), [], EVERY_MS * 3);
  const lanes = found.data?.lanes ?? [];
  const all = Object.fromEntries(
    PARTS.map((part) => [part, lanes.reduce((sum, lane) => sum + lane[part], 0)]),
  ) as unknown as LaneAccount;
  const exact = found.data?.exact;
  return (
    <Panel
      title={t("dq.accounting")}
      className="flush"
      extra={
        found.data &&
        (exact ? <span class="quiet">{t("dq.exact")}</span> : <Badge level="warn">{t("dq.inexact")}</Badge>)
      }
    >
      {!found.data ? (
        <Rest loading={found.loading} problem={found.problem} again={found.again} empty="" />
      ) : (
        <>
          <p class="note quiet equation">{t("dq.equation")}</p>
          <Table
            label={t("dq.accounting")}
            head={[
              t("health.gateway"),
              [t("dq.lane"), "figure"],
              ...PARTS.map((part): [string, string] => [t(HEAD[part]), "figure"]),
            ]}
          >
            {lanes.map((lane) => (
              <Lane name={lane.gateway_id} lane={String(lane.lane)} account={lane} />
            ))}
            {lanes.length > 1 && <Lane name={t("dq.sum")} lane="" account={all} />}
          </Table>
          {found.data.not_measured?.map((one) => (
            <p class="note">
              <Mark level="stale" />
              {one}
            </p>
          ))}
        </>
      )}
    </Panel>
  );
}

function Lane({ name, lane, account }: { name: string; lane: string; account: LaneAccount }): JSX.Element {
  return (
    <tr class={lane ? "" : "sum"}>
      <th scope="row">{name}</th>
      <td class="figure">{lane}</td>
      {PARTS.map((part) => {
        const level = account[part] ? LOST[part] : undefined;
        return (
          <td class="figure">
            {level ? (
              <span class={`abnormal ${level}`}>
                <Mark level={level} />
                {count(account[part])}
              </span>
            ) : (
              <span class={account[part] ? "" : "zero"}>{count(account[part])}</span>
            )}
          </td>
        );
      })}
    </tr>
  );
}
