// Saying why a machine stood: for a whole stop, for a part of it (which splits it), or over several (which merges them). What is said last counts.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, post } from "../api/http";
import type { Reason } from "../api/work";
import { duration } from "../format";
import { t } from "../i18n";
import { nameOf } from "../route";
import { mayPlan, online } from "../state/session";
import { cause, causeOf, Wrong } from "../ui/bits";
import { useLoad } from "../ui/hooks";
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
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState(span.reason);
  const [why, setWhy] = useState("");
  const [from, setFrom] = useState(local(span.start_us));
  const [to, setTo] = useState(local(span.end_us));
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState("");
  const reasons = useLoad(
    async (cancel) => (await get<{ downtime: Reason[] }>("work/reasons", {}, cancel)).downtime,
    [],
  );
  useEffect(() => dialog.current?.showModal(), []);
  const start_us = from === local(span.start_us) ? span.start_us : Date.parse(from) * 1000;
  const end_us = to === local(span.end_us) ? span.end_us : Date.parse(to) * 1000;
  const off = !online.value ? t("commands.off.link") : mayPlan.value ? "" : t("down.off");
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (off || busy) return;
    if (!(end_us > start_us)) {
      setWrong(t("down.wrongRange"));
      return;
    }
    setBusy(true);
    setWrong("");
    try {
      await post("work/downtimes", {
        device_path: span.device_path,
        ranges: [{ start_us: Math.round(start_us), end_us: Math.round(end_us), reason }],
        why: why.trim(),
      });
      done();
    } catch (error) {
      // Saying the same again changes nothing: trying once more is safe.
      setWrong(causeOf(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="reason-title">
      <form onSubmit={(event) => void send(event)}>
        <header>
          <h2 id="reason-title">{t("down.why", { device: nameOf(span.device_path) })}</h2>
          <p class="quiet">{span.device_path}</p>
        </header>
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
        <Wrong wrong={wrong || (reasons.problem ? cause(reasons.problem) : "")} off={off} />
        <footer>
          <button type="button" onClick={() => dialog.current?.close()}>
            {t("app.close")}
          </button>
          <button type="submit" class="primary" disabled={!!off || busy}>
            {t("down.save")}
          </button>
        </footer>
      </form>
    </dialog>
  );
}
