// Who is signed in; language and appearance of this device.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { choose, language, named, t, type Language } from "../i18n";
import { go, href, route } from "../route";
import { look, pushState, turnOff, turnOn } from "../state/push";
import { left, me, signIn, signOut, ways, type Ways } from "../state/session";
import { theme, wear, type Theme } from "../state/theme";
import { causeOf, Panel, Wrong } from "../ui/bits";
import { useTitle } from "../ui/hooks";
import { useSending } from "../ui/sending";

export function Settings(): JSX.Element {
  useTitle(t("nav.settings"));
  const forced = me.value === null && route.value.page !== "settings";
  return (
    <>
      <header class="page">
        <h1>{forced ? t("settings.signIn") : t("nav.settings")}</h1>
      </header>
      <div class="columns settings">
        <Panel title={t("settings.account")}>
          {me.value ? <SignedIn /> : <p>{t("settings.required")}</p>}
          <SignIn />
        </Panel>
        <div>
          <Panel title={t("settings.language")}>
            <Segments
              label={t("settings.language")}
              options={[
                ["en", "English"],
                ["de", "Deutsch"],
              ]}
              chosen={language.value}
              choose={(one) => choose(one as Language)}
            />
          </Panel>
          <Panel title={t("settings.theme")}>
            <Segments
              label={t("settings.theme")}
              options={[
                ["system", t("settings.system")],
                ["light", t("settings.light")],
                ["dark", t("settings.dark")],
              ]}
              chosen={theme.value}
              choose={(one) => wear(one as Theme)}
            />
          </Panel>
          {me.value && <Push />}
          <Panel title={t("settings.wall")}>
            <p class="quiet">{t("settings.wallHint")}</p>
            <a class="button" href={href("overview", "", { wall: "1" })}>
              {t("settings.wallOpen")}
            </a>
          </Panel>
        </div>
      </div>
    </>
  );
}

/** Notifications of this browser. */
function Push(): JSX.Element {
  const { busy, wrong, send } = useSending();
  const state = pushState.value;
  useEffect(() => void send(look), [me.value?.name]);
  return (
    <Panel title={t("push.title")}>
      <p class="quiet">{t(`push.${state}`)}</p>
      {(state === "off" || state === "on") && (
        <button type="button" disabled={busy} onClick={() => void send(state === "on" ? turnOff : turnOn)}>
          {t(state === "on" ? "push.turnOff" : "push.turnOn")}
        </button>
      )}
      <Wrong wrong={wrong} />
    </Panel>
  );
}

function SignedIn(): JSX.Element {
  const { shown: name = "", allow = [] } = me.value ?? {};
  return (
    <div class="signed-in">
      <p>
        <b>{t("settings.signedIn", { name })}</b>
        <br />
        <span class="quiet">
          {t("settings.may", { rights: allow.map((one) => named("settings.right", one)).join(", ") })}
        </span>
      </p>
      <button type="button" onClick={() => void signOut()}>
        {t("settings.signOut")}
      </button>
      <button type="button" title={t("settings.everywhereHint")} onClick={() => void signOut(true)}>
        {t("settings.everywhere")}
      </button>
    </div>
  );
}

function SignIn(): JSX.Element {
  const [known, setKnown] = useState<Ways | null>(null);
  useEffect(() => {
    ways().then(setKnown, () => setKnown({ issuer: null, names: false }));
  }, []);
  if (!known) return <></>;
  return (
    <>
      {known.issuer && (
        <p>
          <a
            class="button primary"
            href={`${known.issuer}?to=${encodeURIComponent(`/${location.hash}`)}${me.value || left.value ? "&again=1" : ""}`}
          >
            {t(me.value ? "settings.signInAgain" : "settings.signInIssuer")}
          </a>
        </p>
      )}
      <SignInHere names={known.names} />
    </>
  );
}

function SignInHere({ names }: { names: boolean }): JSX.Element {
  const [by, setBy] = useState<"token" | "name">(names ? "name" : "token");
  const [text, setText] = useState("");
  const { busy, wrong, send } = useSending();
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!text.trim() || busy) return;
    void send(async () => {
      try {
        await signIn(by === "token" ? { token: text.trim() } : { name: text.trim() });
      } catch (error) {
        return t("settings.refused", { cause: causeOf(error) });
      }
      setText("");
      if (route.peek().page === "settings") go(href("overview"));
      return "";
    });
  };
  const field = {
    maxLength: 200,
    value: text,
    onInput: (event: { currentTarget: HTMLInputElement }) => setText(event.currentTarget.value),
    "aria-describedby": "sign-in-hint",
  };
  return (
    <form class="sign-in" onSubmit={submit}>
      {names && (
        <Segments
          label={t("settings.signIn")}
          options={[
            ["name", t("settings.useName")],
            ["token", t("settings.useToken")],
          ]}
          chosen={by}
          choose={(one) => {
            setBy(one as "name");
            setText("");
          }}
        />
      )}
      <label>
        <span>{t(by === "token" ? "settings.token" : "settings.name")}</span>
        {by === "token" ? (
          <input type="password" name="token" autocomplete="current-password" {...field} />
        ) : (
          <input type="text" name="name" autocomplete="username" {...field} />
        )}
      </label>
      <small id="sign-in-hint" class="quiet">
        {t(by === "token" ? "settings.tokenHint" : "settings.nameHint")}
      </small>
      <Wrong wrong={wrong} />
      <button type="submit" class="primary" disabled={busy}>
        {t("settings.signIn")}
      </button>
    </form>
  );
}

function Segments({
  label,
  options,
  chosen,
  choose: take,
}: {
  label: string;
  options: [string, string][];
  chosen: string;
  choose: (one: string) => void;
}): JSX.Element {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map(([value, text]) => (
        <button type="button" aria-pressed={chosen === value} onClick={() => take(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}
