// Notifications of this browser (Web Push): whether they can be turned on here, turning them on and off. They are a person's: another one
// who signs in here has none. They go on when the session is over; signing out ends them.
import { effect, signal } from "@preact/signals";
import { get, post, remove } from "../api/http";
import { endings, me } from "./session";

const KEPT = "millrace.push";
const RENEW_MS = 24 * 3_600_000;

interface Kept {
  id: string;
  name: string;
  renewed_ms: number;
}

export type PushState = "unknown" | "impossible" | "unconfigured" | "refused" | "off" | "on";

export const pushState = signal<PushState>("unknown");

function kept(): Kept | null {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "null") as Kept | null;
  } catch {
    return null;
  }
}

async function registration(): Promise<ServiceWorkerRegistration | undefined> {
  if (!("serviceWorker" in navigator) || !("PushManager" in window) || !("Notification" in window)) return undefined;
  return await navigator.serviceWorker.getRegistration();
}

/** How it stands here, for who is signed in. */
export async function look(): Promise<void> {
  const found = await registration();
  if (!found) {
    pushState.value = "impossible";
    return;
  }
  const { key } = await get<{ key: string | null }>("push");
  const known = kept();
  const subscription = await found.pushManager.getSubscription();
  if (!key) pushState.value = "unconfigured";
  else if (Notification.permission === "denied") pushState.value = "refused";
  else pushState.value = subscription && known?.name === me.peek()?.name ? "on" : "off";
}

/** Ask the person, subscribe at the browser's push service, and tell the server. Raises what they say. */
export async function turnOn(): Promise<void> {
  const found = await registration();
  const { key } = await get<{ key: string | null }>("push");
  if (!found || !key) return await look();
  if ((await Notification.requestPermission()) !== "granted") return await look();
  const subscription =
    (await found.pushManager.getSubscription()) ??
    (await found.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
  await enter(subscription);
  await look();
}

/** End them, here and at the server; the push service forgets this browser in any case. */
export async function turnOff(): Promise<void> {
  const known = kept();
  localStorage.removeItem(KEPT);
  const subscription = await (await registration())?.pushManager.getSubscription();
  try {
    if (known) await remove("push", { id: known.id });
  } finally {
    await subscription?.unsubscribe();
    pushState.value = pushState.peek() === "on" ? "off" : pushState.peek();
  }
}

async function enter(subscription: PushSubscription): Promise<void> {
  const { endpoint, keys } = subscription.toJSON();
  const { id } = await post<{ id: string }>("push", { endpoint, keys });
  const made: Kept = { id, name: me.peek()?.name ?? "", renewed_ms: Date.now() };
  localStorage.setItem(KEPT, JSON.stringify(made));
}

/** Once a day for who turned them on; somebody else ends them. */
async function renew(name: string): Promise<void> {
  const known = kept();
  if (!known) return;
  if (known.name !== name) return await turnOff();
  const subscription = await (await registration())?.pushManager.getSubscription();
  if (!subscription) localStorage.removeItem(KEPT);
  else if (Date.now() - known.renewed_ms > RENEW_MS) await enter(subscription);
}

effect(() => {
  const name = me.value?.name;
  if (name) void renew(name).catch((error: unknown) => console.info("notifications are renewed later", error));
});

// Without an answer of the server the push service has forgotten this browser all the same: the notifier hears so.
endings.push(() => turnOff().catch((error: unknown) => console.info("notifications end at the push service", error)));
