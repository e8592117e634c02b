// What pages share: loading something and keeping it fresh, titles, the keyboard.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api/http";
import { link, subscribe, type Message, type Wanted } from "../api/live";

const AGAIN_MS = 4000;

export interface Loaded<T> {
  data: T | undefined;
  problem: Problem | undefined;
  loading: boolean;
  again: () => void;
}

/** Load something when `keys` change, and every `every_ms`; the last good answer stays while a new one is fetched or fails. */
export function useLoad<T>(load: (cancel: AbortSignal) => Promise<T>, keys: unknown[], every_ms = 0): Loaded<T> {
  const [state, set] = useState<{ data?: T; problem?: Problem; loading: boolean; key: string }>({
    loading: true,
    key: "",
  });
  const [round, setRound] = useState(0);
  const key = JSON.stringify(keys);
  const lost = link.value === "lost";
  useEffect(() => {
    const cancel = new AbortController();
    let timer = 0;
    const run = async (): Promise<void> => {
      let pause_ms = every_ms;
      try {
        const data = await load(cancel.signal);
        if (!cancel.signal.aborted) set({ data, loading: false, key });
      } catch (error) {
        if (cancel.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(-1, "INTERNAL", "", String(error));
        // A database that is away, a server that is busy: the next try may do.
        if (problem.passing) pause_ms = every_ms || AGAIN_MS;
        set((before) => ({ data: before.key === key ? before.data : undefined, problem, loading: false, key }));
      }
      // Without a connection nobody asks again and again; coming back runs this anew.
      if (pause_ms && !lost && !cancel.signal.aborted) timer = window.setTimeout(() => void run(), pause_ms);
    };
    set((before) => (before.key === key ? before : { loading: true, key }));
    void run();
    return () => {
      cancel.abort();
      clearTimeout(timer);
    };
  }, [key, round, lost]);
  return {
    data: state.key === key ? state.data : undefined,
    problem: state.problem,
    loading: state.loading || state.key !== key,
    again: () => setRound(round + 1),
  };
}

/** Listen while the page shows; `keys` say when it is another subscription. */
export function useSubscription(wanted: Wanted | undefined, listener: (message: Message) => void): void {
  const latest = useRef(listener);
  latest.current = listener;
  const key = JSON.stringify(wanted);
  useEffect(() => (wanted ? subscribe(wanted, (message) => latest.current(message)) : undefined), [key]);
}

/** Something that begins and ends with the page. */
export function useWhile(begin: () => () => void, keys: unknown[]): void {
  useEffect(begin, [JSON.stringify(keys)]);
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · Millrace` : "Millrace";
  }, [title]);
}
