// Who is signed in, and what may be done now.
import { computed, signal } from "@preact/signals";
import { csrf, get, post, Problem, remove } from "../api/http";
import { link, start, stop } from "../api/live";
import type { Me } from "../api/types";
import { forget } from "./memory";
import { forgetNames } from "./people";

/** undefined while it is not known; null when a sign-in is needed. */
export const me = signal<Me | null | undefined>(undefined);

export const online = computed(() => link.value === "online");
export const mayCommand = computed(() => online.value && !!me.value?.allow.includes("command"));
export const mayPlan = computed(() => online.value && !!me.value?.allow.includes("plan"));
export const mayAlarm = computed(() => online.value && !!me.value?.allow.includes("alarm"));
export const mayApprove = computed(() => online.value && !!me.value?.allow.includes("approve"));

/** Ask who is signed in; without an answer of the server what this device remembers is shown. */
export async function load(): Promise<void> {
  try {
    take(await get<Me>("me"));
  } catch (error) {
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) {
      me.value = null;
      stop();
    } else {
      start();
      window.setTimeout(() => void load(), 3000);
    }
  }
}

/** How somebody can sign in here: `issuer` is the address that leads to the company's sign-in, null when there is none. */
export interface Ways {
  issuer: string | null;
  names: boolean;
}

export async function ways(): Promise<Ways> {
  return await get<Ways>("session");
}

export async function signIn(credential: { token: string } | { name: string }): Promise<void> {
  const found = await post<Me>("session", credential);
  // Streams belong to who opened them.
  stop();
  await forget();
  take(found);
}

/** Somebody has signed out here. The issuer may still know who that was; whoever comes next is asked for a password. */
export const left = signal(false);

/** What ends with the session, while there still is one. It does not keep anybody signed in. */
export const endings: (() => Promise<void>)[] = [];

/** At every browser, if wanted: one that was lost is signed out too. */
export async function signOut(everywhere = false): Promise<void> {
  for (const end of endings) await end();
  await remove(everywhere ? "sessions" : "session");
  left.value = true;
  stop();
  await forget();
  me.value = undefined;
  await load();
}

function take(found: Me): void {
  if (found.name !== me.peek()?.name) forgetNames();
  csrf.value = found.csrf;
  me.value = found;
  start();
}
