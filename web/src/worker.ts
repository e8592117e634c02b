// Service worker: the shell from its cache, answers from the network and kept, so that a page without a server still opens and shows what was
// known. Nothing that changes something passes through it.
declare const self: ServiceWorkerGlobalScope;
declare const SHELL: string[];
declare const BUILD: string;

const SHELL_CACHE = `millrace-shell-${BUILD}`;
const ANSWERS = "millrace-answers";
/** What is worth keeping: the plant, its machines and what is known of the line; not history, not downloads. */
const KEPT = /\/api\/v1\/(me|plant|devices|tags|gateways|line|anomalies|commands|alarms)(\/|$)/;
const MOST = 200;
const PATIENCE_MS = 6000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(SHELL_CACHE)
      .then((cache) => cache.addAll(SHELL))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(clean().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") event.respondWith(fromNetwork(request, SHELL_CACHE, "./"));
  else if (KEPT.test(url.pathname) && request.headers.get("accept")?.includes("json"))
    event.respondWith(answer(request));
  else if (!url.pathname.includes("/api/")) event.respondWith(fromShell(request));
});

interface Told {
  id: string;
  title: string;
  body: string;
  alarm: string;
  urgent: boolean;
}

// A message that comes twice has the same tag: it is shown once. What cannot be read is shown too, since a push has to be.
self.addEventListener("push", (event) => {
  let told: Partial<Told> = {};
  try {
    told = (event.data?.json() ?? {}) as Partial<Told>;
  } catch {
    told = {};
  }
  event.waitUntil(
    self.registration.showNotification(told.title ?? "Millrace", {
      body: told.body ?? "",
      tag: told.id ?? "millrace",
      icon: "icon-192.png",
      requireInteraction: told.urgent ?? false,
      data: { alarm: told.alarm ?? "" },
    }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { alarm } = event.notification.data as { alarm: string };
  event.waitUntil(open(alarm ? `#/alarms?alarm=${encodeURIComponent(alarm)}` : "#/alarms"));
});

/** A page that is open goes there; otherwise a new one does. */
async function open(place: string): Promise<void> {
  const pages = await self.clients.matchAll({ type: "window" });
  const page = pages[0];
  if (!page) {
    await self.clients.openWindow(new URL(place, self.registration.scope).href);
    return;
  }
  page.postMessage({ open: place });
  await page.focus();
}

async function clean(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith("millrace-shell-") && name !== SHELL_CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function fromShell(request: Request): Promise<Response> {
  return (await caches.match(request, { cacheName: SHELL_CACHE })) ?? fetch(request);
}

async function fromNetwork(request: Request, cacheName: string, fallback: string): Promise<Response> {
  try {
    return await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    return (await caches.match(fallback, { cacheName })) ?? Response.error();
  }
}

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(ANSWERS);
  try {
    const found = await fetch(request);
    if (found.ok) await put(cache, request, found.clone());
    // Who may see nothing any more sees nothing kept either.
    else if (found.status === 401) await caches.delete(ANSWERS);
    return found;
  } catch {
    return (await cache.match(request)) ?? Response.error();
  }
}

async function put(cache: Cache, request: Request, found: Response): Promise<void> {
  const headers = new Headers(found.headers);
  headers.set("x-millrace-kept", String(Date.now()));
  await cache.put(request, new Response(await found.blob(), { status: found.status, headers }));
  const kept = await cache.keys();
  await Promise.all(kept.slice(0, Math.max(0, kept.length - MOST)).map((one) => cache.delete(one)));
}

export {};
