// Two times that a person gives, in the time of this device.
import type { JSX } from "preact";
import { t } from "../i18n";
import { iso } from "../range";

export interface Times {
  from: string;
  to: string;
  setFrom: (text: string) => void;
  setTo: (text: string) => void;
}

export function TimeFields({ from, to, setFrom, setTo }: Times): JSX.Element {
  return (
    <>
      <label>
        {t("range.from")}{" "}
        <input type="datetime-local" step="1" value={from} onInput={(event) => setFrom(event.currentTarget.value)} />
      </label>
      <label>
        {t("range.to")}{" "}
        <input type="datetime-local" step="1" value={to} onInput={(event) => setTo(event.currentTarget.value)} />
      </label>
    </>
  );
}

/** As an input of type datetime-local takes it. */
export function local(us: number): string {
  const at = new Date(us / 1000);
  return iso(us - at.getTimezoneOffset() * 60e6).slice(0, 19);
}
