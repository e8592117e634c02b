// Saying why a machine stood: for a whole stop, for a part of it (which splits it), or over several (which merges them). What is said last counts.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, post } from "../api/http";
import type { Reason } from "../api/work";
import { duration } from "../format";
import { t } from "../i18n";
import { nameOf } from "../route";
import { mayPlan, online } from "../state/session";
import { cause } from "../ui/bits";
import { Dialog } from "../ui/dialog";
import { useLoad } from "../ui/hooks";
import { useSending } from "../ui/sending";
import { local, TimeFields } from "../ui/times";

export interface Span {
  device_path: string;
  start_us: number;
  end_us: number;
  reason: string;
}

export function ReasonDialog({
  span,
  close,
  done,
}: {
  span: Span;
  close: () => void;
  done: () => void;
}): JSX.Element {
  const [reason, setReason] = useState(span.reason);
  const [why, setWhy] = useState("");
  const [from, setFrom] = useState(local(span.start_us));
  const [to, setTo] = useState(local(span.end_us));
  const { busy, wrong, setWrong, send } = useSending();
  const reasons = useLoad(
    async (cancel) => (await get<{ downtime: Reason[] }>("work/reasons", {}, cancel)).downtime,
    [],
  );
  const start_us = from === local(span.start_us) ? span.start_us : Date.parse(from) * 1000;
  const end_us = to === local(span.end_us) ? span.end_us : Date.parse(to) * 1000;
  const off = !online.value ? t("commands.off.link") : mayPlan.value ? "" : t("down.off");
  const submit = (): void => {
    if (!(end_us > start_us)) {
      setWrong(t("down.wrongRange"));
      return;
    }
    // Saying the same again changes nothing: trying once more is safe.
    void send(async () => {
      await post("work/downtimes", {
        device_path: span.device_path,
        ranges: [{ start_us: Math.round(start_us), end_us: Math.round(end_us), reason }],
        why: why.trim(),
      });
      done();
    });
  };
  return (
    <Dialog
      title={t("down.why", { device: nameOf(span.device_path) })}
      place={span.device_path}
      action={t("down.save")}
      wrong={wrong || (reasons.problem ? cause(reasons.problem) : "")}
      off={off}
      busy={busy}
      submit={submit}
      close={close}
    >
      <div class="fields">
        <label>
          <span>{t("down.reason")}</span>
          <select value={reason} onChange={(event) => setReason(event.currentTarget.value)}>
            <option value="">{t("down.takeBack")}</option>
            {(reasons.data ?? []).map((one) => (
              <option value={one.reason}>
                {one.reason.replaceAll("/", " / ")}
                {one.description ? ` – ${one.description}` : ""}
                {one.planned ? ` (${t("down.planned")})` : ""}
              </option>
            ))}
          </select>
        </label>
        <fieldset class="times">
          <legend>{t("down.range")}</legend>
          <TimeFields from={from} to={to} setFrom={setFrom} setTo={setTo} />
          <p class="quiet small">
            {end_us > start_us ? duration(end_us - start_us) : ""} · {t("down.split")}
          </p>
        </fieldset>
        <label>
          <span>{t("down.note")}</span>
          <input type="text" maxLength={500} value={why} onInput={(event) => setWhy(event.currentTarget.value)} />
        </label>
      </div>
    </Dialog>
  );
}
