// Texts of the page in the chosen language: `t("commands.approve")`, with `{name}` for what is put in.
import { computed, effect, signal } from "@preact/signals";
import { de } from "./de";
import { en, type Key } from "./en";

export type { Key };
export type Language = "en" | "de";
const CATALOGUES: Record<Language, Record<Key, string>> = { en, de };

function initial(): Language {
  const chosen = localStorage.getItem("millrace.language");
  if (chosen === "en" || chosen === "de") return chosen;
  return navigator.language.toLowerCase().startsWith("de") ? "de" : "en";
}

export const language = signal<Language>(initial());
export const locale = computed(() => (language.value === "de" ? "de-DE" : "en-GB"));

export function choose(wanted: Language): void {
  localStorage.setItem("millrace.language", wanted);
  language.value = wanted;
}

export function t(key: Key, values: Record<string, string | number> = {}): string {
  return CATALOGUES[language.value][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** A text for a name that comes from the server; the name itself, made readable, when there is none. */
export function named(group: string, name: string): string {
  const key = `${group}.${name}` as Key;
  return key in en ? CATALOGUES[language.value][key] : name.toLowerCase().replaceAll("_", " ");
}

effect(() => {
  document.documentElement.lang = language.value;
});
