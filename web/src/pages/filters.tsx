// Filters above lists: the range of the page, the part of the plant, choices. Everything is in the address.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get } from "../api/http";
import type { PlantNode } from "../api/types";
import { t } from "../i18n";
import { fallbackOf, pan, PRESET_TEXT, PRESETS, range, show, zoom } from "../range";
import { go, here, placeOf, route } from "../route";
import { useLoad } from "../ui/hooks";
import { Icon } from "../ui/icons";
import { local, TimeFields } from "../ui/times";
import { time } from "../format";

/** The one time picker of a page. */
export function RangePicker({ zooms = false }: { zooms?: boolean }): JSX.Element {
  const { start_us, end_us, relative, live } = range.value;
  const [custom, setCustom] = useState(false);
  const chosen = relative;
  return (
    <div class="range" role="group" aria-label={t("range.title")}>
      <div class="segments">
        {PRESETS.map((preset) => (
          <button
            type="button"
            aria-pressed={chosen === preset}
            onClick={() =>
              go(here({ from: preset === fallbackOf(route.value.page) ? undefined : preset, to: undefined }))
            }
          >
            {t(PRESET_TEXT[preset])}
          </button>
        ))}
        <button type="button" aria-pressed={!chosen} aria-expanded={custom} onClick={() => setCustom(!custom)}>
          {chosen ? t("range.custom") : `${time(start_us, false)} – ${time(end_us, false)}`}
        </button>
      </div>
      <div class="segments">
        <button type="button" title={t("range.earlier")} aria-label={t("range.earlier")} onClick={() => pan(-0.5)}>
          <Icon name="left" size={15} />
        </button>
        <button
          type="button"
          title={t("range.later")}
          aria-label={t("range.later")}
          disabled={live}
          onClick={() => pan(0.5)}
        >
          <Icon name="chevron" size={15} />
        </button>
        {zooms && (
          <button type="button" title={t("range.zoomIn")} aria-label={t("range.zoomIn")} onClick={() => zoom(0.5)}>
            <Icon name="plus" size={15} />
          </button>
        )}
        {zooms && (
          <button type="button" title={t("range.zoomOut")} aria-label={t("range.zoomOut")} onClick={() => zoom(2)}>
            <Icon name="minus" size={15} />
          </button>
        )}
        <button type="button" disabled={live} onClick={() => go(here({ from: undefined, to: undefined }))}>
          {t("range.live")}
        </button>
      </div>
      {custom && <Custom start_us={start_us} end_us={end_us} done={() => setCustom(false)} />}
    </div>
  );
}

function Custom({ start_us, end_us, done }: { start_us: number; end_us: number; done: () => void }): JSX.Element {
  const [from, setFrom] = useState(local(start_us));
  const [to, setTo] = useState(local(end_us));
  const apply = (event: Event): void => {
    event.preventDefault();
    const start = Date.parse(from) * 1000;
    const end = Date.parse(to) * 1000;
    if (end > start) {
      show(start, end);
      done();
    }
  };
  return (
    <form class="custom" onSubmit={apply}>
      <TimeFields from={from} to={to} setFrom={setFrom} setTo={setTo} />
      <button type="submit" class="primary">
        {t("range.apply")}
      </button>
    </form>
  );
}

/** The part of the plant that a list is about. */
export function PartPicker(): JSX.Element {
  const chosen = route.value.query.get("prefix") ?? "";
  const plant = useLoad(
    async (cancel) =>
      (await get<{ nodes: PlantNode[] }>("plant", { depth: 4 }, cancel)).nodes.filter((node) => node.path),
    [],
  );
  const listed = plant.data ?? [];
  const paths =
    listed.some((node) => node.path === chosen) || !chosen
      ? listed.map((node) => node.path)
      : [...listed.map((node) => node.path), chosen];
  return (
    <label class="inline">
      <span>{t("filter.part")}</span>
      <select value={chosen} onChange={(event) => go(here({ prefix: event.currentTarget.value || undefined }))}>
        <option value="">{t("filter.any")}</option>
        {paths.map((path) => (
          <option value={path}>{placeOf(path) || path}</option>
        ))}
      </select>
    </label>
  );
}

export function Choice({
  name,
  label,
  options,
  text,
}: {
  name: string;
  label: string;
  options: string[];
  text: (one: string) => string;
}): JSX.Element {
  const chosen = route.value.query.get(name) ?? "";
  return (
    <label class="inline">
      <span>{label}</span>
      <select value={chosen} onChange={(event) => go(here({ [name]: event.currentTarget.value || undefined }))}>
        <option value="">{t("app.all")}</option>
        {options.map((one) => (
          <option value={one}>{text(one)}</option>
        ))}
      </select>
    </label>
  );
}

export function Toggle({ name, label }: { name: string; label: string }): JSX.Element {
  const on = route.value.query.get(name) === "1";
  return (
    <label class="check">
      <input type="checkbox" checked={on} onChange={() => go(here({ [name]: on ? undefined : "1" }))} /> {label}
    </label>
  );
}
