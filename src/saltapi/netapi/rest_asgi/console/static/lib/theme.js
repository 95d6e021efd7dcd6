// Light, dark, or as the system is.

import { effect, signal } from "./ui.js";

export const theme = signal(localStorage.getItem("theme") ?? "system");

/** Let the page follow `theme`. */
export function useTheme() {
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    localStorage.setItem("theme", theme.value);
  });
}
