// What this device remembers of the plant for when the server is away: answers (kept by the service worker) and last values (kept here).
// Signing out forgets it.
import { signal } from "@preact/signals";
import type { Value } from "../api/types";
import { known, remember } from "./values";
import type { Tag } from "../api/types";

const ANSWERS = "millrace-answers";
const VALUES = "millrace-values";
const ADDRESS = "kept/values";
const EVERY_MS = 10_000;

/** When the values on the page were kept, milliseconds; 0 when they came from the server. */
export const keptAt = signal(0);

export async function keep(): Promise<void> {
  const values = known();
  if (!("caches" in window) || !values.length) return;
  const store = await caches.open(VALUES);
  await store.put(ADDRESS, new Response(JSON.stringify({ at: Date.now(), values })));
}

export async function recall(): Promise<void> {
  if (!("caches" in window)) return;
  const found = await (await caches.open(VALUES)).match(ADDRESS);
  if (!found) return;
  const { at, values } = (await found.json()) as { at: number; values: [number, Value][] };
  keptAt.value = at;
  remember(values.map(([tag_id, last]) => ({ tag_id, last }) as Tag));
}

export async function forget(): Promise<void> {
  keptAt.value = 0;
  if (!("caches" in window)) return;
  await Promise.all([caches.delete(ANSWERS), caches.delete(VALUES)]);
}

window.setInterval(() => void keep(), EVERY_MS);
