// Sending a command: a form from what the machine describes, then a question with what will happen, then the command's own page.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { post } from "../api/http";
import { uuid7 } from "../api/ids";
import type { Command, CommandDescription, Device, Parameter, Tag } from "../api/types";
import { decimals, number, unit, withUnit, words } from "../format";
import { named, t } from "../i18n";
import { go, href, nameOf } from "../route";
import { follow } from "../state/commands";
import { me, online } from "../state/session";
import { valueOf } from "../state/values";
import { causeOf } from "../ui/bits";
import { Dialog } from "../ui/dialog";
import { Mark } from "../ui/icons";
import { shown } from "./device";

const EXPIRIES_MS = [10_000, 30_000, 120_000, 600_000, 3_600_000];
const EXPIRY_TEXT: Record<number, string> = {
  10000: "10 s",
  30000: "30 s",
  120000: "2 min",
  600000: "10 min",
  3600000: "1 h",
};

/** Why commands cannot be sent now; empty when they can. */
export function commandsOff(): string {
  if (!online.value) return t("commands.off.link");
  return me.value?.allow.includes("command") ? "" : t("commands.off.allow");
}

export interface Draft {
  command_id: string;
  name: string;
  texts: Record<string, string>;
  reason: string;
  second: boolean;
  expires_ms: number;
}

export function CommandDialog({ device, close }: { device: Device; close: () => void }): JSX.Element {
  const first = device.commands.find((one) => one.name === "write") ?? device.commands[0];
  const [draft, set] = useState<Draft>({
    command_id: uuid7(),
    name: first?.name ?? "",
    texts: {},
    reason: "",
    second: false,
    expires_ms: 30_000,
  });
  const [step, setStep] = useState<"form" | "confirm" | "sending">("form");
  const [wrong, setWrong] = useState("");
  const description = device.commands.find((one) => one.name === draft.name);
  const off = commandsOff();

  const check = (): void => {
    const problem = description ? problemOf(description, draft) : t("commands.none");
    setWrong(problem);
    if (!problem) setStep("confirm");
  };
  const send = async (): Promise<void> => {
    if (!description) return;
    setStep("sending");
    try {
      const made = await post<Command>("commands", {
        command_id: draft.command_id,
        device_id: device.device_id,
        name: draft.name,
        parameters: parametersOf(description, draft),
        expires_after_ms: draft.expires_ms,
        requires_approval: draft.second,
        reason: draft.reason.trim(),
      });
      follow(made);
      close();
      go(href("command", made.command_id));
    } catch (error) {
      // The same id again is the same command: trying once more is safe.
      setWrong(causeOf(error));
      setStep("confirm");
    }
  };

  return (
    <Dialog
      title={step === "form" ? t("commands.to", { device: nameOf(device.path) }) : t("commands.confirm")}
      place={device.path}
      action={t(step === "form" ? "commands.check" : step === "confirm" ? "commands.send" : "commands.sending")}
      wrong={wrong}
      off={off}
      busy={step === "sending"}
      back={step === "form" ? undefined : { text: t("commands.change"), go: () => setStep("form") }}
      submit={step === "form" ? check : () => void send()}
      close={close}
    >
      {step === "form" && description ? (
        <Form device={device} description={description} draft={draft} set={(part) => set({ ...draft, ...part })} />
      ) : null}
      {step !== "form" && description ? <Confirm device={device} description={description} draft={draft} /> : null}
      {device.state === "OFFLINE" && (
        <p class="note failure">
          <Mark level="warn" />
          {t("commands.off.machine")}
        </p>
      )}
    </Dialog>
  );
}

function Form({
  device,
  description,
  draft,
  set,
}: {
  device: Device;
  description: CommandDescription;
  draft: Draft;
  set: (part: Partial<Draft>) => void;
}): JSX.Element {
  return (
    <div class="fields">
      <label>
        <span>{t("commands.choose")}</span>
        <select value={draft.name} onChange={(event) => set({ name: event.currentTarget.value, texts: {} })}>
          {device.commands.map((one) => (
            <option value={one.name}>{named("verb", one.name)}</option>
          ))}
        </select>
        <small class="quiet">{description.description}</small>
      </label>
      {description.parameters.length > 0 && (
        <fieldset>
          <legend>{t("commands.parameters")}</legend>
          <p class="quiet">{t("commands.leave")}</p>
          {description.parameters.map((one) => (
            <Field
              parameter={one}
              tag={device.tags.find((tag) => tag.name === one.name)}
              text={draft.texts[one.name] ?? ""}
              set={(text) => set({ texts: { ...draft.texts, [one.name]: text } })}
            />
          ))}
        </fieldset>
      )}
      <label>
        <span>{t("commands.reason")}</span>
        <input
          type="text"
          maxLength={500}
          value={draft.reason}
          onInput={(event) => set({ reason: event.currentTarget.value })}
        />
        <small class="quiet">{t("commands.reasonHint")}</small>
      </label>
      <label>
        <span>{t("commands.expires")}</span>
        <select
          value={String(draft.expires_ms)}
          onChange={(event) => set({ expires_ms: Number(event.currentTarget.value) })}
        >
          {EXPIRIES_MS.map((ms) => (
            <option value={String(ms)}>{t("commands.expiresAfter", { time: EXPIRY_TEXT[ms] ?? "" })}</option>
          ))}
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={draft.second}
          onChange={(event) => set({ second: event.currentTarget.checked })}
        />{" "}
        {t("commands.second")}
      </label>
    </div>
  );
}

function Field({
  parameter,
  tag,
  text,
  set,
}: {
  parameter: Parameter;
  tag: Tag | undefined;
  text: string;
  set: (text: string) => void;
}): JSX.Element {
  const value = tag ? valueOf(tag.tag_id).value : undefined;
  const now = tag && value ? t("commands.now", { value: `${shown(tag, value.value)} ${unit(tag.unit)}`.trim() }) : "";
  const allowed = rangeText(parameter);
  const id = `p-${parameter.name}`;
  return (
    <div class="field">
      <label for={id}>
        {words(parameter.name)}
        {unit(parameter.unit) && <span class="quiet"> {unit(parameter.unit)}</span>}
      </label>
      {parameter.data_type === "BOOLEAN" ? (
        <select
          id={id}
          value={text}
          onChange={(event) => set(event.currentTarget.value)}
          aria-describedby={`${id}-hint`}
        >
          <option value="">{t("commands.unchanged")}</option>
          <option value="1">{t("commands.on")}</option>
          <option value="0">{t("commands.off")}</option>
        </select>
      ) : (
        <input
          id={id}
          type="text"
          inputMode="decimal"
          autocomplete="off"
          value={text}
          onInput={(event) => set(event.currentTarget.value)}
          aria-describedby={`${id}-hint`}
        />
      )}
      <small id={`${id}-hint`} class="quiet">
        {[now, allowed].filter(Boolean).join(" · ")}
      </small>
    </div>
  );
}

function Confirm({
  device,
  description,
  draft,
}: {
  device: Device;
  description: CommandDescription;
  draft: Draft;
}): JSX.Element {
  const parameters = Object.entries(parametersOf(description, draft));
  return (
    <div class="confirm">
      <p>
        <b>{named("verb", draft.name)}</b> · {nameOf(device.path)}
      </p>
      {parameters.length > 0 && (
        <ul>
          {parameters.map(([name, value]) => {
            const tag = device.tags.find((one) => one.name === name);
            const before = tag ? valueOf(tag.tag_id).value?.value : undefined;
            const after =
              tag?.data_type === "DOUBLE" ? withUnit(value, tag.unit) : tag ? shown(tag, value) : number(value);
            return (
              <li>
                <span>{words(name)}</span>{" "}
                <span class="quiet">{before !== undefined && tag ? `${number(before, decimals(tag))} →` : ""}</span>{" "}
                <b>{after}</b>
              </li>
            );
          })}
        </ul>
      )}
      {draft.reason.trim() && (
        <p>
          {t("commands.reason")}: {draft.reason.trim()}
        </p>
      )}
      <p class="quiet">
        {t(draft.second ? "commands.confirmSecond" : "commands.confirmText")} {t("commands.expires")}{" "}
        {t("commands.expiresAfter", { time: EXPIRY_TEXT[draft.expires_ms] ?? "" })}.
      </p>
    </div>
  );
}

function rangeText(parameter: Parameter): string {
  const { low, high } = parameter;
  if (low === null || low === undefined || high === null || high === undefined || parameter.data_type === "BOOLEAN")
    return "";
  return t("commands.allowed", { low: number(low), high: number(high) });
}

/** A number as people write it here: a comma is a point. */
function read(text: string): number {
  const trimmed = text.trim().replace("−", "-").replace(",", ".");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : Number.NaN;
}

export function parametersOf(description: CommandDescription, draft: Draft): Record<string, number> {
  const filled = description.parameters.filter((one) => (draft.texts[one.name] ?? "").trim() !== "");
  return Object.fromEntries(filled.map((one) => [one.name, read(draft.texts[one.name] ?? "")]));
}

/** What is wrong with a draft, for people; empty for nothing. The server and the gateway check again. */
export function problemOf(description: CommandDescription, draft: Draft): string {
  const given = parametersOf(description, draft);
  if (description.parameters.length && !Object.keys(given).length) return t("commands.nothing");
  for (const one of description.parameters) {
    const value = given[one.name];
    if (value === undefined) continue;
    const name = words(one.name);
    if (!Number.isFinite(value)) return t("commands.number", { name });
    if (one.data_type === "INTEGER" && !Number.isInteger(value)) return t("commands.integer", { name });
    const low = one.low ?? Number.NEGATIVE_INFINITY;
    const high = one.high ?? Number.POSITIVE_INFINITY;
    if (value < low || value > high) return t("commands.outside", { name, low: number(low), high: number(high) });
  }
  return "";
}
