// OEE by ISO 22400-2: of a part of the plant, its parts one level below, by shift and by day, each with where the planned time went.
import type { JSX } from "preact";
import { get } from "../api/http";
import type { Oee } from "../api/work";
import { count, day, duration } from "../format";
import { t, type Key } from "../i18n";
import { href, nameOf, route } from "../route";
import { spanOf } from "../range";
import { Panel, Rest, Table } from "../ui/bits";
import { useLoad, useTitle, type Loaded } from "../ui/hooks";
import { LossBar, share } from "../ui/losses";
import { PlaceHead } from "../ui/place";
import { RangePicker } from "./filters";

const EVERY_MS = 60_000;
/** What the parts of a place are called, by the number of parts of its path. */
const BELOW = ["site", "site", "line", "line", "device", "device", "device"] as const;
const FACTORS = ["availability", "effectiveness", "quality"] as const;

function useOee(path: string, by: string): Loaded<Oee[]> {
  const { start_us, end_us, key } = spanOf();
  return useLoad(
    async (cancel) => (await get<{ rows: Oee[] }>("oee", { prefix: path, start_us, end_us, by }, cancel)).rows,
    [path, by, key],
    EVERY_MS,
  );
}

export function OeePage(): JSX.Element {
  const { path } = route.value;
  useTitle(path ? `${t("oee.title")} ${nameOf(path)}` : t("oee.title"));
  const depth = path ? path.split("/").length : 0;
  return (
    <>
      <PlaceHead page="oee" title={t("oee.title")} path={path} />
      <div class="filters">
        <RangePicker />
      </div>
      <Whole path={path} />
      {depth < 6 && <Parts path={path} by={BELOW[depth] ?? "device"} />}
      <div class="columns">
        <Times path={path} by="shift" />
        <Times path={path} by="day" />
      </div>
    </>
  );
}

function Whole({ path }: { path: string }): JSX.Element {
  const found = useOee(path, "");
  const row = found.data?.[0];
  return (
    <Panel title={t("oee.where")} extra={row && <span class="quiet">{t("oee.planned", { time: hours(row.pbt_s) })}</span>}>
      {!row ? (
        <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("oee.none")} />
      ) : (
        <div class="oee">
          <dl class="oee-figures">
            <div class="main">
              <dt>{t("oee.title")}</dt>
              <dd>{share(row.oee)}</dd>
            </div>
            {FACTORS.map((factor) => (
              <div>
                <dt title={t(`oee.${factor}Hint` as Key)}>{t(`oee.${factor}` as Key)}</dt>
                <dd>
                  {share(row[factor])}
                  <span class="meter" aria-hidden="true">
                    <span style={{ width: `${Math.min(row[factor] ?? 0, 1) * 100}%` }} />
                  </span>
                </dd>
              </div>
            ))}
            <div>
              <dt>{t("oee.goodPieces")}</dt>
              <dd>{count(Math.round(row.gq))}</dd>
            </div>
            <div>
              <dt>{t("oee.scrap")}</dt>
              <dd>{count(Math.round(row.pq - row.gq))}</dd>
            </div>
          </dl>
          <LossBar row={row} legend />
          {row.unknown_s > 60 && <p class="note quiet">{t("oee.unknown", { time: duration(row.unknown_s * 1e6) })}</p>}
        </div>
      )}
    </Panel>
  );
}

function Parts({ path, by }: { path: string; by: string }): JSX.Element {
  const found = useOee(path, by);
  const rows = (found.data ?? []).filter((row) => row.path && row.path !== path && row.pbt_s > 0);
  rows.sort((a, b) => a.path.localeCompare(b.path, undefined, { numeric: true }));
  return (
    <Rows
      title={t(by === "device" ? "overview.machines" : by === "line" ? "oee.lines" : "oee.sites")}
      rows={rows}
      found={found}
      name={(row) => (
        <a href={href("oee", row.path)}>{path ? row.path.slice(path.length + 1).replaceAll("/", " / ") : row.path}</a>
      )}
    />
  );
}

function Times({ path, by }: { path: string; by: "shift" | "day" }): JSX.Element {
  const found = useOee(path, by);
  const rows = (found.data ?? []).filter((row) => row.pbt_s > 0);
  rows.sort((a, b) => b.shift_day.localeCompare(a.shift_day) || a.shift.localeCompare(b.shift));
  return (
    <Rows
      title={t(by === "shift" ? "oee.shifts" : "oee.days")}
      rows={rows}
      found={found}
      name={(row) => (row.shift_day ? [day(row.shift_day), row.shift].filter(Boolean).join(" ") : t("oee.noCalendar"))}
    />
  );
}

function Rows({
  title,
  rows,
  found,
  name,
}: {
  title: string;
  rows: Oee[];
  found: Loaded<Oee[]>;
  name: (row: Oee) => JSX.Element | string;
}): JSX.Element {
  return (
    <Panel title={title} className="flush">
      {!rows.length ? (
        <Rest loading={found.loading} problem={found.problem} again={found.again} empty={t("oee.none")} />
      ) : (
        <Table
          label={title}
          head={[
            "",
            [t("oee.title"), "figure"],
            ...FACTORS.map((factor): [JSX.Element, string] => [
              <abbr title={t(`oee.${factor}` as Key)}>{t(`oee.${factor}Short` as Key)}</abbr>,
              "figure",
            ]),
            t("oee.where"),
            [t("oee.goodPieces"), "figure"],
            [t("oee.scrap"), "figure"],
          ]}
        >
          {rows.map((row) => (
            <tr>
              <th scope="row">{name(row)}</th>
              <td class="figure number">{share(row.oee)}</td>
              {FACTORS.map((factor) => (
                <td class="figure">{share(row[factor])}</td>
              ))}
              <td class="bar-cell">
                <LossBar row={row} />
              </td>
              <td class="figure">{count(Math.round(row.gq))}</td>
              <td class="figure">{count(Math.round(row.pq - row.gq))}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function hours(seconds: number): string {
  return duration(seconds * 1e6);
}
