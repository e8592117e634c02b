// The address of every state of the page: `#/page/path?query`. Paths of the plant are the path; range, filters and choices are the query.
import { computed, signal } from "@preact/signals";

export interface Route {
  page: string;
  /** Path of the plant, or an id; without a leading slash. */
  path: string;
  query: URLSearchParams;
}

/** What goes along from page to page. */
const CARRIED = ["from", "to", "wall"];

function parse(hash: string): Route {
  const [place = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page = "", ...rest] = place.split("/").map(decodeURIComponent);
  return { page: page || "overview", path: rest.join("/"), query: new URLSearchParams(query) };
}

export const route = signal<Route>(parse(location.hash));
window.addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

/** Whether the page is on a wall screen: no navigation, larger type. */
export const wall = computed(() => route.value.query.get("wall") === "1");

type Values = Record<string, string | string[] | undefined>;

/** Address of a page, with range and wall screen as they are now. */
export function href(page: string, path = "", values: Values = {}): string {
  const query = new URLSearchParams();
  for (const name of CARRIED) {
    const value = route.value.query.get(name);
    if (value && !(name in values)) query.set(name, value);
  }
  return made(page, path, put(query, values));
}

/** The page as it is, with some of its query changed; undefined takes a value away. */
export function here(values: Values): string {
  const { page, path, query } = route.value;
  return made(page, path, put(new URLSearchParams(query), values));
}

/** Go to an address; `replace` leaves no step behind to come back to. */
export function go(target: string, replace = false): void {
  if (replace) {
    history.replaceState(null, "", target);
  } else {
    location.hash = target;
  }
  // At once: `hashchange` comes later, and a second key must see what the first has done.
  route.value = parse(target);
}

function put(query: URLSearchParams, values: Values): URLSearchParams {
  for (const [name, value] of Object.entries(values)) {
    query.delete(name);
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) if (one !== "") query.append(name, one);
  }
  return query;
}

function made(page: string, path: string, query: URLSearchParams): string {
  const place = [page === "overview" && !path ? "" : page, ...(path ? path.split("/") : [])]
    .map(encodeURIComponent)
    .join("/");
  // Commas and slashes may stand in a fragment: shared addresses stay readable.
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return `#/${place}${text ? `?${text}` : ""}`;
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** A part of the plant for people, without the enterprise: `north / forming / line-1`. */
export function placeOf(path: string): string {
  return path.split("/").slice(1).join(" / ");
}
