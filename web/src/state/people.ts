// Names of people, whom records know by a subject id: fetched when they are shown, many at once, and kept by no cache.
import { signal } from "@preact/signals";
import { get } from "../api/http";
import { t } from "../i18n";

const PERSON = /^person-[a-z2-7]{16}$/;
const MOST = 200;
const RETRY_MS = 30_000;

/** null: somebody who was forgotten. */
const known = signal<Map<string, string | null>>(new Map());
const asked = new Set<string>();
let waiting: string[] = [];

/** What people call who a record names; the subject id until it is known, and for those who may not know it. */
export function whoIs(name: string): string {
  if (!PERSON.test(name)) return name;
  const found = known.value.get(name);
  if (found === null) return t("people.forgotten", { id: name.slice(7, 13) });
  if (found === undefined && !asked.has(name)) {
    asked.add(name);
    waiting.push(name);
    if (waiting.length === 1) window.setTimeout(() => void fetchAll(), 30);
  }
  return found ?? name;
}

/** Somebody else may see other names. */
export function forgetNames(): void {
  known.value = new Map();
  asked.clear();
}

async function fetchAll(): Promise<void> {
  const ids = waiting.slice(0, MOST);
  waiting = waiting.slice(MOST);
  try {
    const found = await get<{ people: { id: string; name: string | null }[] }>("people", { id: ids });
    const next = new Map(known.peek());
    for (const one of found.people) next.set(one.id, one.name);
    known.value = next;
  } catch {
    // Without the name the id is shown; another try follows when it is shown again.
    window.setTimeout(() => {
      for (const id of ids) asked.delete(id);
    }, RETRY_MS);
  }
  if (waiting.length) window.setTimeout(() => void fetchAll(), 30);
}
