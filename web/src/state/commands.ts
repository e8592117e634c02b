// Commands that were heard of since the page was opened, each with the states it went through; those that wait for approval.
import { computed, signal } from "@preact/signals";
import { subscribe } from "../api/live";
import type { Command, CommandState } from "../api/types";

const MOST = 500;

export interface Step {
  state: CommandState;
  provisional: boolean;
  at_us: number;
  detail: string;
}

export interface Followed {
  command: Command;
  steps: Step[];
}

export const followed = signal<Map<string, Followed>>(new Map());

export const pending = computed(() =>
  [...followed.value.values()]
    .map((one) => one.command)
    .filter((one) => one.state === "PENDING_APPROVAL" && one.expires_us > Date.now() * 1000),
);

/** Take a command as it stands, from a watch or from an answer; what is older than what is known changes nothing. */
export function follow(command: Command): void {
  const before = followed.peek().get(command.command_id);
  const known = before?.command;
  if (known && command.version < known.version) return;
  if (known && command.version === known.version && command.updated_us < known.updated_us) return;
  const step: Step = {
    state: command.state,
    provisional: command.provisional,
    at_us: command.updated_us || command.submitted_us,
    detail: command.detail,
  };
  const next = new Map(followed.peek());
  next.delete(command.command_id);
  next.set(command.command_id, { command, steps: stepsWith(before?.steps ?? [], step) });
  for (const id of [...next.keys()].slice(0, Math.max(0, next.size - MOST))) next.delete(id);
  followed.value = next;
}

/** A state that the record confirms takes the place of its provisional one. */
function stepsWith(steps: Step[], step: Step): Step[] {
  const at = steps.findIndex((one) => one.state === step.state);
  if (at < 0) return [...steps, step];
  return steps.map((one, index) =>
    index === at ? { ...step, at_us: one.at_us, provisional: one.provisional && step.provisional } : one,
  );
}

subscribe({ what: "commands", prefix: "" }, (message) => {
  if (message.command) follow(message.command as Command);
});
