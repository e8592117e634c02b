// Putting an alarm aside: for how long, and why. What is shelved comes back by itself; what is out of service only if it was told so.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { post } from "../api/http";
import type { Alarm, AlarmAnswer } from "../api/types";
import { t } from "../i18n";
import { time, windowLength } from "../format";
import { serverNow } from "../state/clock";
import { WhyField } from "../ui/bits";
import { Dialog } from "../ui/dialog";
import { useSending } from "../ui/sending";

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
  const times = off ? TIMES_S.off : TIMES_S.shelve;
  const [for_s, setFor] = useState((off ? times[0] : times[1]) as number);
  const [reason, setReason] = useState("");
  const { busy, wrong, setWrong, send } = useSending();
  const until_us = for_s ? Math.round(serverNow() + for_s * 1e6) : 0;
  const submit = (): void => {
    if (!reason.trim()) {
      setWrong(t("alarms.sayWhy"));
      return;
    }
    void send(async () => {
      const verb = off ? "out-of-service" : "shelve";
      const answer = await post<AlarmAnswer>(`alarms/${alarm.alarm_id}/${verb}`, { until_us, reason: reason.trim() });
      if (answer.outcome === "REFUSED") return answer.detail;
      done(answer);
      return "";
    });
  };
  return (
    <Dialog
      title={t(off ? "alarms.offTitle" : "alarms.shelveTitle", { title: alarm.title || alarm.rule })}
      place={alarm.path}
      action={t(off ? "alarms.takeOff" : "alarms.shelve")}
      wrong={wrong}
      busy={busy}
      submit={submit}
      close={close}
    >
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
    </Dialog>
  );
}
