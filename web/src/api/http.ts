// Requests over HTTP: JSON in and out, errors as RFC 9457 problems. An answer that the service worker took from its cache says so by a header.
import { signal } from "@preact/signals";

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail || title);
  }

  /** The server cannot be reached, or something that it needs is away: worth another try. */
  get passing(): boolean {
    return this.status === 0 || this.status === 503 || this.status === 504 || this.status === 429;
  }
}

/** Sent with every request that changes something; of the session. */
export const csrf = signal("");
/** Time of the newest answer, milliseconds: of the server, or when it was kept. */
export const CACHED = "x-millrace-kept";

type Query = Record<string, string | number | boolean | (string | number)[] | undefined | null>;

export function address(path: string, query: Query = {}): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) found.append(name, String(one));
  }
  const text = found.toString();
  return `api/v1/${path}${text ? `?${text}` : ""}`;
}

export async function get<T>(path: string, query: Query = {}, cancel?: AbortSignal): Promise<T> {
  return await request<T>("GET", address(path, query), undefined, cancel);
}

export async function post<T>(path: string, body: unknown, query: Query = {}): Promise<T> {
  return await request<T>("POST", address(path, query), body);
}

export async function remove(path: string, query: Query = {}): Promise<void> {
  await request<unknown>("DELETE", address(path, query));
}

async function request<T>(method: string, url: string, body?: unknown, cancel?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json, application/problem+json" };
  if (method !== "GET") headers["x-csrf-token"] = csrf.peek();
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer: Response;
  try {
    const timeout = AbortSignal.timeout(30_000);
    answer = await fetch(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: cancel ? AbortSignal.any([cancel, timeout]) : timeout,
    });
  } catch (error) {
    if (cancel?.aborted) throw error;
    throw new Problem(0, "UNAVAILABLE", "", "");
  }
  if (answer.ok) return answer.status === 204 ? (undefined as T) : ((await answer.json()) as T);
  const found = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
  throw new Problem(
    answer.status,
    String(found.code ?? ""),
    String(found.title ?? answer.statusText),
    String(found.detail ?? ""),
  );
}

/** Every item of a list that comes in pages, at most `most`. */
export async function pages<T>(
  path: string,
  field: string,
  query: Query,
  most = 5000,
  cancel?: AbortSignal,
): Promise<T[]> {
  const found: T[] = [];
  let token = "";
  do {
    const page = await get<Record<string, unknown>>(path, { page_size: 1000, ...query, page_token: token }, cancel);
    found.push(...((page[field] ?? []) as T[]));
    token = String(page.next_page_token ?? "");
  } while (token && found.length < most);
  return found;
}

/** A plant path as part of an address. */
export function encoded(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
