// Putting an alarm aside: for how long, and why. What is shelved comes back by itself; what is out of service only if it was told so.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { post } from "../api/http";
import type { Alarm, AlarmAnswer } from "../api/types";
import { t } from "../i18n";
import { time, windowLength } from "../format";
import { serverNow } from "../state/clock";
import { causeOf, WhyField, Wrong } from "../ui/bits";

/** 0: until somebody returns it to service. */
const TIMES_S = { shelve: [900, 3600, 4 * 3600, 8 * 3600], off: [0, 8 * 3600, 24 * 3600, 7 * 86400] };

export function ShelveDialog({
  alarm,
  off = false,
  close,
  done,
}: {
  alarm: Alarm;
  off?: boolean;
  close: () => void;
  done: (answer: AlarmAnswer) => void;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const times = off ? TIMES_S.off : TIMES_S.shelve;
  const [for_s, setFor] = useState((off ? times[0] : times[1]) as number);
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState("");
  useEffect(() => dialog.current?.showModal(), []);
  const until_us = for_s ? Math.round(serverNow() + for_s * 1e6) : 0;
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    if (!reason.trim()) {
      setWrong(t("alarms.sayWhy"));
      return;
    }
    setBusy(true);
    setWrong("");
    try {
      const answer = await post<AlarmAnswer>(`alarms/${alarm.alarm_id}/${off ? "out-of-service" : "shelve"}`, { until_us, reason: reason.trim() });
      if (answer.outcome === "REFUSED") setWrong(answer.detail);
      else done(answer);
    } catch (error) {
      setWrong(causeOf(error));
    }
    setBusy(false);
  };
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="shelve-title">
      <form onSubmit={(event) => void send(event)}>
        <header>
          <h2 id="shelve-title">{t(off ? "alarms.offTitle" : "alarms.shelveTitle", { title: alarm.title || alarm.rule })}</h2>
          <p class="quiet">{alarm.path}</p>
        </header>
        <div class="fields">
          <fieldset>
            <legend>{t("alarms.for")}</legend>
            <span class="segments wide">
              {times.map((one) => (
                <button type="button" aria-pressed={one === for_s ? "true" : "false"} onClick={() => setFor(one)}>
                  {one ? windowLength(one) : t("alarms.noEnd")}
                </button>
              ))}
            </span>
            <p class="quiet small">
              {until_us ? t("alarms.until", { time: time(until_us, false) }) : t("alarms.untilReturned")}
            </p>
          </fieldset>
          <WhyField reason={reason} set={setReason} />
        </div>
        <Wrong wrong={wrong} />
        <footer>
          <button type="button" onClick={() => dialog.current?.close()}>
            {t("app.close")}
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {t(off ? "alarms.takeOff" : "alarms.shelve")}
          </button>
        </footer>
      </form>
    </dialog>
  );
}
