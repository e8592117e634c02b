// Light, dark, or as the system has it; what is drawn on a canvas reads its colours anew when it changes.
import { computed, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const wanted = window.matchMedia("(prefers-color-scheme: dark)");
const system = signal(wanted.matches);
wanted.addEventListener("change", () => {
  system.value = wanted.matches;
});

const kept = localStorage.getItem("millrace.theme");
export const theme = signal<Theme>(kept === "light" || kept === "dark" ? kept : "system");
export const dark = computed(() => (theme.value === "system" ? system.value : theme.value === "dark"));

export function wear(chosen: Theme): void {
  theme.value = chosen;
  if (chosen === "system") {
    localStorage.removeItem("millrace.theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("millrace.theme", chosen);
    document.documentElement.dataset.theme = chosen;
  }
}

export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
