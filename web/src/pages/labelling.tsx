// What people say of an episode: not a fault, was a fault, with a reason; and taking it back. Detection minds it for what comes.
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { post } from "../api/http";
import { uuid7 } from "../api/ids";
import type { Anomaly, AnomalyVerdict } from "../api/types";
import { t } from "../i18n";
import { nameOf } from "../route";
import { heard } from "../state/anomalies";
import { whoIs } from "../state/people";
import { mayAlarm, online } from "../state/session";
import { Time, WhyField, Wrong } from "../ui/bits";
import { Dialog } from "../ui/dialog";
import { useSending } from "../ui/sending";

/** What is being said: of the page, not of a row, since an episode may close, and leave the list, while somebody writes why. */
const asked = signal<{ anomaly: Anomaly; verdict: AnomalyVerdict } | null>(null);

/** An answer came: the button that was pressed is gone, and the keyboard goes to what stands in its place once that is drawn. */
function answered(answer: Anomaly): void {
  heard(answer);
  window.setTimeout(() => document.getElementById(idOf(answer))?.querySelector("button")?.focus());
}

function idOf(anomaly: Anomaly): string {
  return `labelling-${anomaly.episode_id}`;
}

export function Labelling({ anomaly }: { anomaly: Anomaly }): JSX.Element {
  const { busy, wrong, send } = useSending();
  const standing = [...(anomaly.labels ?? [])].reverse().find((one) => !one.withdrawn_us);
  const off = !online.value ? t("anomalies.noLink") : mayAlarm.value ? "" : t("anomalies.mayNot");
  const withdraw = (): void => {
    if (!standing || busy) return;
    void send(async () => answered(await post<Anomaly>(`anomaly-labels/${standing.label_id}/withdraw`, {})));
  };
  const said = `said-${anomaly.episode_id}`;
  const of = <span class="only-heard">: {nameOf(anomaly.device_path)}</span>;
  return (
    <div class="labelling" id={idOf(anomaly)}>
      {standing ? (
        <>
          <span id={said}>
            <b>{t(standing.verdict === "FAULT" ? "anomalies.wasFault" : "anomalies.noFault")}</b>{" "}
            <span class="quiet small">
              {whoIs(standing.by)}, <Time us={standing.time_us} />
              {standing.reason && `: ${standing.reason}`}
            </span>
          </span>
          <button
            type="button"
            class="small"
            disabled={!!off}
            aria-disabled={busy ? "true" : undefined}
            title={off}
            aria-describedby={said}
            onClick={withdraw}
          >
            {t("anomalies.undo")}
            {of}
          </button>
        </>
      ) : (
        (["NOT_A_FAULT", "FAULT"] as const).map((verdict) => (
          <button
            key={verdict}
            type="button"
            class="small"
            disabled={!!off}
            title={off}
            onClick={() => {
              asked.value = { anomaly, verdict };
            }}
          >
            {t(verdict === "FAULT" ? "anomalies.wasFault" : "anomalies.noFault")}
            {of}
          </button>
        ))
      )}
      {wrong && <Wrong wrong={wrong} />}
    </div>
  );
}

/** The question for the reason, while one is asked. */
export function Asked(): JSX.Element | null {
  useEffect(
    () => () => {
      asked.value = null;
    },
    [],
  );
  const { anomaly, verdict } = asked.value ?? {};
  return anomaly && verdict ? (
    <LabelDialog key={`${anomaly.episode_id} ${verdict}`} anomaly={anomaly} verdict={verdict} />
  ) : null;
}

function LabelDialog({ anomaly, verdict }: { anomaly: Anomaly; verdict: AnomalyVerdict }): JSX.Element {
  // Made once: sending it again after a broken connection is the same label.
  const [label_id] = useState(uuid7);
  const [reason, setReason] = useState("");
  const { busy, wrong, setWrong, send } = useSending();
  const fault = verdict === "FAULT";
  const close = (): void => {
    asked.value = null;
  };
  const submit = (): void => {
    if (!reason.trim()) {
      setWrong(t("anomalies.sayWhy"));
      return;
    }
    void send(async () => {
      const body = { verdict, reason: reason.trim(), label_id };
      const answer = await post<Anomaly>(`anomalies/${anomaly.episode_id}/label`, body);
      close();
      answered(answer);
    });
  };
  return (
    <Dialog
      title={t(fault ? "anomalies.wasFault" : "anomalies.noFault")}
      place={anomaly.device_path}
      action={t("anomalies.say")}
      wrong={wrong}
      busy={busy}
      submit={submit}
      close={close}
    >
      <div class="fields">
        <p>{t(fault ? "anomalies.wasFaultMeans" : "anomalies.noFaultMeans")}</p>
        <WhyField
          reason={reason}
          set={(text) => {
            setReason(text);
            setWrong("");
          }}
        />
      </div>
    </Dialog>
  );
}
