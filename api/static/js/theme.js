// Not a module: it runs before the first paint, so that a page chosen to be dark never flashes white.
"use strict";
(() => {
  const KEY = "nbr-theme";
  const WORDS = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const root = document.documentElement;
  const kept = () => (localStorage.getItem(KEY) in WORDS ? localStorage.getItem(KEY) : "auto");
  const apply = (theme) => (theme === "auto" ? root.removeAttribute("data-theme") : root.setAttribute("data-theme", theme));
  root.dataset.scripts = "";
  apply(kept());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.textContent = WORDS[kept()];
    button.addEventListener("click", () => {
      const names = Object.keys(WORDS);
      const next = names[(names.indexOf(kept()) + 1) % names.length];
      localStorage.setItem(KEY, next);
      apply(next);
      button.textContent = WORDS[next];
    });
  });
})();
