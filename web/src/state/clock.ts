// The server's clock as it is known here: ages are counted by it, so a device with a wrong clock shows right ages.
import { signal } from "@preact/signals";

let offset_us: number | undefined;

/** The server's time, microseconds UTC; moves every second. */
export const now = signal(Date.now() * 1000);
/** The same, moving every ten seconds. */
export const minute = signal(now.peek());

export function serverNow(): number {
  return Date.now() * 1000 + (offset_us ?? 0);
}

/** Take the time of a message that just came. What came quickest is nearest to the truth. */
export function observe(sent_us: number): void {
  if (!sent_us) return;
  const found = sent_us - Date.now() * 1000;
  offset_us = offset_us === undefined ? found : Math.max(found, offset_us - 50);
}

window.setInterval(() => {
  now.value = serverNow();
  if (now.peek() - minute.peek() >= 10e6) minute.value = now.peek();
}, 1000);
