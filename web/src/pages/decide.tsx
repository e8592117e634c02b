// Releasing or withdrawing a command that waits: who submitted it may only withdraw it.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { get, post } from "../api/http";
import type { Command } from "../api/types";
import { t } from "../i18n";
import { follow } from "../state/commands";
import { mayApprove, mayCommand, me, online } from "../state/session";
import { causeOf, Wrong } from "../ui/bits";

const WITHDRAWABLE = new Set(["PENDING_APPROVAL", "ACCEPTED", "DELIVERED"]);

export function Decide({ command }: { command: Command }): JSX.Element | null {
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState("");
  const [reason, setReason] = useState("");
  const waits = command.state === "PENDING_APPROVAL";
  if (!WITHDRAWABLE.has(command.state)) return null;
  const own = command.submitted_by === me.value?.name;
  const why = !online.value
    ? t("commands.off.link")
    : own
      ? t("commands.off.own")
      : mayApprove.value
        ? ""
        : t("commands.off.approve");
  const act = async (action: "approve" | "cancel"): Promise<void> => {
    setBusy(true);
    setWrong("");
    try {
      follow(await post<Command>(`commands/${command.command_id}/${action}`, { reason: reason.trim() }));
    } catch (error) {
      setWrong(causeOf(error));
      // It may have been heard all the same: what stands is asked for, never approved twice.
      await get<Command>(`commands/${command.command_id}`).then(follow, () => undefined);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="decide">
      {waits && (
        <input
          type="text"
          maxLength={500}
          placeholder={t("commands.reason")}
          aria-label={t("commands.reason")}
          value={reason}
          onInput={(event) => setReason(event.currentTarget.value)}
        />
      )}
      {waits && (
        <button type="button" class="primary" disabled={busy || !!why} title={why} onClick={() => void act("approve")}>
          {t("commands.approve")}
        </button>
      )}
      <button type="button" disabled={busy || !mayCommand.value} onClick={() => void act("cancel")}>
        {t("commands.cancel")}
      </button>
      {(wrong || (waits && why)) && <Wrong wrong={wrong} off={why} role="status" />}
    </div>
  );
}
