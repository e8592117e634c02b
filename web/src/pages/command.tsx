// One command: each state as it happens, provisional or recorded, and what became of each value.
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { get } from "../api/http";
import type { Command, Tag } from "../api/types";
import { duration, number, withUnit, words } from "../format";
import { named, t } from "../i18n";
import { href, nameOf, route } from "../route";
import { followed, follow, type Step } from "../state/commands";
import { whoIs } from "../state/people";
import { pages } from "../api/http";
import { Badge, CommandBadge, DeviceLink, Panel, Rest, Table, Time } from "../ui/bits";
import { useLoad, useTitle } from "../ui/hooks";
import { Mark } from "../ui/icons";
import { commandLevel, ended, type Level } from "../ui/level";
import { Decide } from "./decide";
import { orderText, shown } from "./device";

const ASK_MS = 5000;
const EFFECT_LEVEL: Record<string, Level> = { APPLIED: "none", REFUSED: "alarm", NOT_SENT: "warn", UNKNOWN: "alarm" };

export function CommandPage(): JSX.Element {
  const id = route.value.path;
  const known = followed.value.get(id);
  const asked = useLoad(
    (cancel) => get<Command>(`commands/${encodeURIComponent(id)}`, {}, cancel),
    [id],
    known && ended(known.command) ? 0 : ASK_MS,
  );
  useEffect(() => {
    if (asked.data) follow(asked.data);
  }, [asked.data]);
  const command = known?.command ?? asked.data;
  const tags = useLoad(
    async (cancel) =>
      command?.device_path ? pages<Tag>("tags", "tags", { prefix: command.device_path }, 1000, cancel) : [],
    [command?.device_path ?? ""],
  );
  useTitle(command ? `${named("verb", command.name)} ${nameOf(command.device_path)}` : t("commands.title"));
  if (!command)
    return (
      <>
        <header class="page">
          <h1>{t("commands.title")}</h1>
        </header>
        <Rest loading={asked.loading} problem={asked.problem} again={asked.again} empty={t("problem.NOT_FOUND")} />
      </>
    );
  return (
    <>
      <header class="page">
        <nav class="crumbs" aria-label={t("commands.title")}>
          <a href={href("commands")}>{t("commands.title")}</a>
        </nav>
        <h1>{orderText(command.name, command.parameters, tags.data)}</h1>
        <span class="facts">
          <CommandBadge state={command.state} provisional={command.provisional} />
          <DeviceLink path={command.device_path} />
        </span>
      </header>
      <Decide command={command} />
      <div class="columns">
        <Panel title={t("commands.transitions")}>
          <Steps command={command} steps={known?.steps ?? []} />
        </Panel>
        <div>
          <Panel title={t("commands.outcomes")} className="flush">
            <Outcomes command={command} tags={tags.data ?? []} />
          </Panel>
          <Panel title={t("commands.detail")}>
            <Facts command={command} />
          </Panel>
        </div>
      </div>
    </>
  );
}

function Steps({ command, steps }: { command: Command; steps: Step[] }): JSX.Element {
  const complete = steps.some((one) => one.state === "ACCEPTED" || one.state === "PENDING_APPROVAL");
  return (
    <>
      <ol class="steps" aria-live="polite">
        {steps.map((step) => (
          <li class={`${commandLevel(step.state)}${step.provisional ? " provisional-step" : ""}`}>
            <b>
              <Mark level={commandLevel(step.state)} />
              {named("command", step.state)}
            </b>
            <span
              class={step.provisional ? "provisional" : "quiet"}
              title={step.provisional ? t("commands.provisionalHint") : undefined}
            >
              {t(step.provisional ? "commands.provisional" : "commands.recorded")}
            </span>
            <span class="quiet">
              <Time us={step.at_us} /> · +{duration(step.at_us - command.submitted_us)}
            </span>
            {step.detail && <span class="detail">{step.detail}</span>}
          </li>
        ))}
      </ol>
      {!complete && <p class="note quiet">{t("commands.fromHere")}</p>}
    </>
  );
}

function Outcomes({ command, tags }: { command: Command; tags: Tag[] }): JSX.Element {
  const names = [
    ...new Set([
      ...Object.keys(command.parameters ?? {}),
      ...(command.outcomes ?? []).map((one) => one.name),
      ...Object.keys(command.readback ?? {}),
    ]),
  ];
  if (!names.length) return <p class="note">{t("effect.UNSPECIFIED")}</p>;
  const text = (tag: Tag | undefined, value: number | null | undefined): string => {
    if (value === null || value === undefined) return "–";
    return tag ? (tag.data_type === "DOUBLE" ? withUnit(value, tag.unit) : shown(tag, value)) : number(value);
  };
  return (
    <Table
      label={t("commands.outcomes")}
      head={[
        t("device.measurement"),
        [t("commands.asked"), "figure"],
        [t("commands.readback"), "figure"],
        t("commands.effect"),
      ]}
    >
      {names.map((name) => {
        const tag = tags.find((one) => one.name === name);
        const outcome = command.outcomes?.find((one) => one.name === name);
        const effect = outcome?.effect ?? "UNSPECIFIED";
        return (
          <tr>
            <th scope="row">{words(name)}</th>
            <td class="figure">{text(tag, command.parameters?.[name])}</td>
            <td class="figure">{text(tag, outcome?.readback ?? command.readback?.[name])}</td>
            <td>
              {EFFECT_LEVEL[effect] && EFFECT_LEVEL[effect] !== "none" ? (
                <Badge level={EFFECT_LEVEL[effect]}>{named("effect", effect)}</Badge>
              ) : (
                // A record that ended without saying more has nothing to wait for.
                effect === "UNSPECIFIED" && ended(command) ? "–" : named("effect", effect)
              )}{" "}
              {outcome?.detail && <span class="quiet">{outcome.detail}</span>}
            </td>
          </tr>
        );
      })}
    </Table>
  );
}

function Facts({ command }: { command: Command }): JSX.Element {
  return (
    <dl class="facts-list">
      <dt>{t("commands.submittedBy")}</dt>
      <dd>
        {whoIs(command.submitted_by)} · <Time us={command.submitted_us} />
      </dd>
      {command.approved_by && (
        <>
          <dt>{t("commands.approvedBy")}</dt>
          <dd>{whoIs(command.approved_by)}</dd>
        </>
      )}
      {command.reason && (
        <>
          <dt>{t("commands.reason")}</dt>
          <dd>{command.reason}</dd>
        </>
      )}
      {command.detail && (
        <>
          <dt>{t("commands.detail")}</dt>
          <dd>{command.detail}</dd>
        </>
      )}
      <dt>{t("commands.expiry")}</dt>
      <dd>
        <Time us={command.expires_us} />
      </dd>
      {(command.late_acks > 0 || command.duplicate_acks > 0) && (
        <>
          <dt>{t("app.more")}</dt>
          <dd>{t("commands.lateAcks", { late: command.late_acks, duplicate: command.duplicate_acks })}</dd>
        </>
      )}
      <dt>{t("commands.id")}</dt>
      <dd>
        <code>{command.command_id}</code>
      </dd>
    </dl>
  );
}
