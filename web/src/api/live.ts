// One WebSocket for the page. Subscriptions outlive connections: after a loss it is opened again with growing pauses, and every subscription
// goes on from its last position. Who listens gets messages, and can see the state of the link.
import { effect, signal } from "@preact/signals";
import { get } from "./http";

export type Link = "connecting" | "online" | "lost";
/** State of the connection; `lost` once it was down for longer than a moment. */
export const link = signal<Link>("connecting");
/** When the link was lost, milliseconds; 0 while it is not. */
export const lostSince = signal(0);
/** When the next attempt is made, milliseconds. */
export const nextAttempt = signal(0);

export interface Wanted {
  what: "tags" | "anomalies" | "events" | "commands" | "gateways" | "aggregates" | "alarms";
  prefixes?: string[];
  prefix?: string;
  min_interval_ms?: number;
  heartbeat_ms?: number;
  counts_only?: boolean;
}

export interface Failed {
  code?: string;
  detail?: string;
  title?: string;
}

export type Message = {
  id: string;
  what?: string;
  error?: Failed;
} & Record<string, any>;

interface Subscription {
  wanted: Wanted;
  position: string;
  listener: (message: Message) => void;
  failed: (error: Failed) => void;
}

const AGAIN_MS = 3_000;
/** What is switched off is seldom switched on. */
const SELDOM_MS = 30_000;
const SHORTEST_MS = 500;
const LONGEST_MS = 10_000;
/** A connection without a word for so long is asked for; one that does not answer is given up. */
const SILENCE_MS = 8_000;
const FORGIVEN_MS = 1_500;

const subscriptions = new Map<string, Subscription>();
let socket: WebSocket | undefined;
let opened = false;
let heard = 0;
let pause = SHORTEST_MS;
let count = 0;
let timer = 0;
let wantedOpen = false;

/** Listen; the result ends it. A subscription that fails for a reason of its own is tried again after a pause. */
export function subscribe(
  wanted: Wanted,
  listener: (message: Message) => void,
  failed: (error: Failed) => void = () => undefined,
): () => void {
  const id = `s${++count}`;
  subscriptions.set(id, { wanted, position: "", listener, failed });
  if (opened) ask(id);
  return () => {
    subscriptions.delete(id);
    if (opened) socket?.send(JSON.stringify({ unsubscribe: id }));
  };
}

export function start(): void {
  if (wantedOpen) return;
  wantedOpen = true;
  connect();
}

export function stop(): void {
  wantedOpen = false;
  clearTimeout(timer);
  socket?.close();
  socket = undefined;
  opened = false;
}

/** Try at once: a person asked for it, or the network came back. */
export function retry(): void {
  if (!wantedOpen || opened) return;
  pause = SHORTEST_MS;
  clearTimeout(timer);
  connect();
}

function connect(): void {
  const made = new WebSocket(new URL("api/v1/ws", document.baseURI.replace(/^http/, "ws").split("#")[0]));
  socket?.close();
  socket = made;
  nextAttempt.value = 0;
  made.onopen = () => {
    if (socket !== made) return;
    opened = true;
    heard = Date.now();
    pause = SHORTEST_MS;
    for (const id of subscriptions.keys()) ask(id);
    link.value = "online";
    lostSince.value = 0;
  };
  made.onmessage = (event) => {
    if (socket !== made) return;
    heard = Date.now();
    take(JSON.parse(String(event.data)) as Message);
  };
  made.onclose = () => {
    if (socket !== made) return;
    lose();
  };
}

function lose(): void {
  socket = undefined;
  opened = false;
  if (!wantedOpen) return;
  const now = Date.now();
  if (!lostSince.peek()) {
    lostSince.value = now;
    // A connection that is back at once is no reason to turn the page grey.
    window.setTimeout(() => {
      if (!opened && wantedOpen) link.value = "lost";
    }, FORGIVEN_MS);
  }
  const wait = pause * (0.75 + Math.random() / 2);
  pause = Math.min(pause * 2, LONGEST_MS);
  nextAttempt.value = now + wait;
  timer = window.setTimeout(connect, wait);
}

function ask(id: string): void {
  const found = subscriptions.get(id);
  if (found) socket?.send(JSON.stringify({ subscribe: id, ...found.wanted, resume_position: found.position }));
}

function take(message: Message): void {
  const found = subscriptions.get(message.id);
  if (!found) return;
  // A feed that failed or ended is asked for again: its cause is mostly one that passes.
  if (message.error || message.done) {
    if (message.error) found.failed(message.error);
    window.setTimeout(
      () => {
        if (opened && subscriptions.has(message.id)) ask(message.id);
      },
      message.error?.code === "FAILED_PRECONDITION" ? SELDOM_MS : AGAIN_MS,
    );
    return;
  }
  const position = message.position ?? message.batch?.position;
  if (position) found.position = String(position);
  found.listener(message);
}

async function watchSilence(): Promise<void> {
  if (!opened || Date.now() - heard < SILENCE_MS) return;
  const asked = socket;
  try {
    await get("me", {}, AbortSignal.timeout(4_000));
    heard = Math.max(heard, Date.now() - SILENCE_MS + 4_000);
  } catch {
    if (socket === asked && opened) {
      asked?.close();
      if (socket === asked) lose();
    }
  }
}

window.setInterval(() => void watchSilence(), 2_000);
window.addEventListener("online", retry);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") retry();
});
effect(() => {
  document.documentElement.dataset.link = link.value;
});
