// Definitions of tags by id, as far as the page has come across them; what is asked for is fetched, many at once.
import { signal } from "@preact/signals";
import { post } from "../api/http";
import type { Tag } from "../api/types";

const known = signal<Map<number, Tag>>(new Map());
const asked = new Set<number>();
let waiting: number[] = [];

export function learn(tags: Tag[]): void {
  const next = new Map(known.peek());
  for (const tag of tags) next.set(tag.tag_id, tag);
  known.value = next;
}

export function tagOf(tag_id: number): Tag | undefined {
  const found = known.value.get(tag_id);
  if (!found && tag_id && !asked.has(tag_id)) {
    asked.add(tag_id);
    waiting.push(tag_id);
    if (waiting.length === 1) window.setTimeout(() => void fetchAll(), 30);
  }
  return found;
}

export function unitOf(tag_id: number): string {
  return tagOf(tag_id)?.unit ?? "1";
}

async function fetchAll(): Promise<void> {
  const ids = waiting.slice(0, 1000);
  waiting = waiting.slice(1000);
  try {
    learn((await post<{ tags: Tag[] }>("tags/batch-get", { tag_ids: ids })).tags);
  } catch {
    // Without its definition a value is shown without its unit; another try follows when it is asked for again.
    window.setTimeout(() => {
      for (const id of ids) asked.delete(id);
    }, 10_000);
  }
  if (waiting.length) window.setTimeout(() => void fetchAll(), 30);
}
