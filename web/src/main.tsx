// Starts the page: who is signed in, the live link, what this device remembers, the service worker.
import { effect } from "@preact/signals";
import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./styles/index.css";
import { App } from "./app";
import { link } from "./api/live";
import { keptAt, recall } from "./state/memory";
import { load } from "./state/session";
import "./state/push";

render(<App />, document.getElementById("app") as HTMLElement);
void load();
// What was known is shown until the server answers; it never takes the place of something newer.
window.setTimeout(() => {
  if (link.peek() !== "online") void recall();
}, 800);

if ("serviceWorker" in navigator && window.isSecureContext) {
  window.addEventListener(
    "load",
    () => void navigator.serviceWorker.register("worker.js", { scope: "./" }).catch(() => undefined),
  );
}

// What the worker was clicked for: the page that is open goes there.
navigator.serviceWorker?.addEventListener("message", (event: MessageEvent) => {
  const { open } = event.data as { open?: string };
  if (open?.startsWith("#/")) location.hash = open;
});

effect(() => {
  if (link.value === "online") keptAt.value = 0;
});
