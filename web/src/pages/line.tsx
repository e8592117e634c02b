// A part of the plant below the overview: its machines, each with its state and its most telling values.
import type { JSX } from "preact";
import { pages } from "../api/http";
import type { Device, Tag } from "../api/types";
import { decimals, number, unit, words } from "../format";
import { named, t } from "../i18n";
import { go, here, href, nameOf, parentOf, route } from "../route";
import { remember, valueOf, watch } from "../state/values";
import { learn } from "../state/units";
import { Badge, PackmlBadge, Rest } from "../ui/bits";
import { Bar } from "../ui/bar";
import { Crumbs } from "../ui/crumbs";
import { useLoad, useTitle, useWhile } from "../ui/hooks";
import { Mark } from "../ui/icons";
import { isAnalogue, levelOf } from "../ui/level";

const EVERY_MS = 5000;
const SHOWN = 4;
/** Cards of more machines than this are not drawn: their parts are one level down. */
const MOST = 120;

export function LinePage(): JSX.Element {
  const { path, query } = route.value;
  useTitle(nameOf(path));
  const only = query.get("abnormal") === "1";
  const devices = useLoad(
    (cancel) => pages<Device>("devices", "devices", { prefix: path }, MOST, cancel),
    [path],
    EVERY_MS,
  );
  const tags = useLoad(
    async (cancel) => {
      const found = await pages<Tag>("tags", "tags", { prefix: path }, MOST * 30, cancel);
      remember(found);
      learn(found);
      return Map.groupBy(found, (tag) => tag.device_path);
    },
    [path],
  );
  useWhile(() => watch([path], 500), [path]);
  const shown = (devices.data ?? []).filter((device) => !only || abnormal(device, tags.data?.get(device.path) ?? []));
  const groups = Map.groupBy(shown.slice(0, MOST), (device) => parentOf(device.path));
  return (
    <>
      <header class="page">
        <Crumbs path={path} />
        <h1>{nameOf(path)}</h1>
        <label class="check">
          <input type="checkbox" checked={only} onChange={() => go(here({ abnormal: only ? undefined : "1" }), true)} />{" "}
          {t("line.only")}
        </label>
      </header>
      {shown.length === 0 && (
        <Rest
          loading={devices.loading}
          problem={devices.problem}
          again={devices.again}
          empty={only && devices.data?.length ? t("overview.calm") : t("line.empty")}
        />
      )}
      {[...groups].map(([parent, members]) => (
        <section class="cell">
          <h2>
            {parent === path ? null : (
              <a href={href("plant", parent)}>
                {parent.slice(path.length + 1).replaceAll("/", " / ") || nameOf(parent)}
              </a>
            )}
          </h2>
          <ul class="cards">
            {members.map((device) => (
              <Card device={device} tags={tags.data?.get(device.path) ?? []} />
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function abnormal(device: Device, tags: Tag[]): boolean {
  return (
    device.state === "OFFLINE" ||
    device.open_anomalies > 0 ||
    tags.some((tag) => levelOf(tag, valueOf(tag.tag_id).value) !== "none")
  );
}

/** Measurements before setpoints, and those with a range, for they can be judged at a glance. */
export function telling(tags: Tag[]): Tag[] {
  return tags.filter((tag) => isAnalogue(tag) && !tag.writable).slice(0, SHOWN);
}

function Card({ device, tags }: { device: Device; tags: Tag[] }): JSX.Element {
  const offline = device.state === "OFFLINE";
  return (
    <li class={`card${offline ? " stale" : ""}`}>
      <a class="head" href={href("device", device.path)}>
        <b>{nameOf(device.path)}</b>
        <span class="quiet">{words(device.device_class)}</span>
        <span class="marks">
          {offline ? <Badge level="alarm">{t("state.OFFLINE")}</Badge> : <PackmlBadge state={device.packml_state} />}
          {device.open_anomalies > 0 && (
            <Badge level="warn" title={t("overview.anomalies")}>
              {device.open_anomalies}
            </Badge>
          )}
          {!offline && !device.packml_state && device.state !== "ONLINE" && (
            <Badge level="stale">{named("state", device.state)}</Badge>
          )}
        </span>
      </a>
      <ul class="values">
        {telling(tags).map((tag) => (
          <Line tag={tag} />
        ))}
      </ul>
    </li>
  );
}

function Line({ tag }: { tag: Tag }): JSX.Element {
  const value = valueOf(tag.tag_id).value;
  const level = levelOf(tag, value);
  return (
    <li>
      <span class="name">{words(tag.name)}</span>
      <Bar tag={tag} value={value?.value ?? null} level={level} />
      <span class={`number ${level}`}>
        <Mark level={level} />
        {value ? number(value.value, decimals(tag)) : "–"}
      </span>
      <span class="unit">{unit(tag.unit)}</span>
    </li>
  );
}
