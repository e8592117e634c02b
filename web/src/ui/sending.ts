// Sending something on a button: once at a time, and what went wrong stays on the page until it is tried again.
import { useState } from "preact/hooks";
import { causeOf } from "./bits";

export interface Sending {
  /** Something is on its way. */
  busy: boolean;
  wrong: string;
  setWrong: (wrong: string) => void;
  /** Do it; text that it answers is what went wrong, as is an error. */
  send: (work: () => Promise<string | void>) => Promise<void>;
}

export function useSending(): Sending {
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState("");
  const send = async (work: () => Promise<string | void>): Promise<void> => {
    setBusy(true);
    setWrong("");
    try {
      setWrong((await work()) ?? "");
    } catch (error) {
      setWrong(causeOf(error));
    }
    setBusy(false);
  };
  return { busy, wrong, setWrong, send };
}
