// The frame: navigation, the state of the link, who is signed in; inside it the page that the address names.
import type { ComponentType, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { link, lostSince, nextAttempt, retry } from "./api/live";
import { duration } from "./format";
import { t, type Key } from "./i18n";
import { go, here, href, route, wall } from "./route";
import { now } from "./state/clock";
import { pending } from "./state/commands";
import { keptAt } from "./state/memory";
import { alarmCounts, newAlarms } from "./state/alarms";
import { openAnomalies } from "./state/anomalies";
import { me } from "./state/session";
import { Icon, type IconName } from "./ui/icons";
import { AlarmBanner } from "./pages/alarm-banner";
import { Alarms } from "./pages/alarms";
import { Anomalies } from "./pages/anomalies";
import { CommandPage } from "./pages/command";
import { Commands } from "./pages/commands";
import { DevicePage } from "./pages/device";
import { DowntimePage } from "./pages/downtime";
import { Events } from "./pages/events";
import { Health } from "./pages/health";
import { LinePage } from "./pages/line";
import { OeePage } from "./pages/oee";
import { OrdersPage } from "./pages/orders";
import { Overview } from "./pages/overview";
import { Quality } from "./pages/quality";
import { Settings } from "./pages/settings";
import { Trends } from "./pages/trends";

const PAGES: Record<string, ComponentType> = {
  overview: Overview,
  plant: LinePage,
  device: DevicePage,
  trends: Trends,
  oee: OeePage,
  down: DowntimePage,
  orders: OrdersPage,
  alarms: Alarms,
  anomalies: Anomalies,
  commands: Commands,
  command: CommandPage,
  events: Events,
  quality: Quality,
  health: Health,
  settings: Settings,
};

const NAVIGATION: { page: IconName; text: Key; includes?: string[] }[] = [
  { page: "overview", text: "nav.overview", includes: ["plant", "device"] },
  { page: "trends", text: "nav.trends" },
  { page: "oee", text: "nav.oee" },
  { page: "down", text: "nav.down" },
  { page: "orders", text: "nav.orders" },
  { page: "alarms", text: "nav.alarms" },
  { page: "anomalies", text: "nav.anomalies" },
  { page: "commands", text: "nav.commands", includes: ["command"] },
  { page: "events", text: "nav.events" },
  { page: "quality", text: "nav.quality" },
  { page: "health", text: "nav.health" },
  { page: "settings", text: "nav.settings" },
];

export function App(): JSX.Element {
  const { page, path } = route.value;
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // A new page begins at its top, and a screen reader is told of it.
    if (!first.current) {
      main.current?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    first.current = false;
  }, [page, path]);
  useEffect(() => {
    document.documentElement.classList.toggle("wall", wall.value);
  }, [wall.value]);
  useEffect(() => {
    const leave = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && wall.peek()) go(here({ wall: undefined }));
    };
    window.addEventListener("keydown", leave);
    return () => window.removeEventListener("keydown", leave);
  }, []);
  const Page = me.value === null ? Settings : (PAGES[page] ?? Overview);
  return (
    <>
      <a
        class="skip"
        href={here({})}
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        {t("app.skip")}
      </a>
      <header class="top">
        <a class="brand" href={href("overview")}>
          <img src="icon.svg" alt="" width="24" height="24" />
          Millrace
        </a>
        <LinkState />
        <Account />
      </header>
      <Navigation />
      <main id="main" ref={main} tabIndex={-1}>
        <Banner />
        {me.value !== null && <AlarmBanner />}
        <Page />
      </main>
    </>
  );
}

function Navigation(): JSX.Element | null {
  const { page } = route.value;
  const waiting = pending.value.length;
  const open = openAnomalies.value.length;
  const fresh = newAlarms(alarmCounts.value);
  if (wall.value) return null;
  return (
    <nav class="main" aria-label={t("app.menu")}>
      {NAVIGATION.map((item) => {
        const amount = { commands: waiting, anomalies: open, alarms: fresh }[item.page as string] ?? 0;
        const current = page === item.page || !!item.includes?.includes(page);
        return (
          <a href={href(item.page)} aria-current={current ? "page" : undefined}>
            <Icon name={item.page} size={20} />
            <span>{t(item.text)}</span>
            {amount > 0 && <b class="amount">{amount}</b>}
          </a>
        );
      })}
    </nav>
  );
}

function LinkState(): JSX.Element {
  const state = link.value;
  const clock = new Date(now.value / 1000);
  return (
    <div class={`link-state ${state}`}>
      <span class="dot" aria-hidden="true" />
      <span role="status" aria-live="polite">
        {t(`link.${state}`)}
      </span>
      <time class="clock" aria-hidden="true">
        {clock.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })}
      </time>
    </div>
  );
}

function Account(): JSX.Element {
  const name = me.value?.shown || me.value?.name;
  return (
    <a class="account" href={href("settings")} aria-label={name ?? t("settings.signIn")}>
      <Icon name="user" />
      <span>{name ?? t("settings.signIn")}</span>
    </a>
  );
}

/** Says what is not as usual, and what follows from it. */
function Banner(): JSX.Element | null {
  if (link.value !== "lost") return null;
  const seconds = nextAttempt.value ? Math.max(0, Math.ceil((nextAttempt.value - now.value / 1000) / 1000)) : 0;
  // What was read from this device's memory is as old as its keeping.
  const since = keptAt.value || lostSince.value;
  void now.value;
  return (
    <div class="banner" role="alert">
      <Icon name="offline" />
      <p>
        {t("link.banner", { age: duration((Date.now() - since) * 1000) })}{" "}
        <span class="quiet">{t("link.next", { seconds })}</span>
      </p>
      <button type="button" onClick={retry}>
        {t("link.now")}
      </button>
    </div>
  );
}
