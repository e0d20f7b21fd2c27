// The remembered choice of colours, or none: then the system decides. Runs before the page is painted.
"use strict";
(() => {
  const key = "trefoil-theme";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  try {
    show(localStorage.getItem(key));
  } catch {
    // Storage is forbidden: the choice lasts as long as the page.
  }
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
      const next = now === "dark" ? "light" : "dark";
      show(next);
      try {
        localStorage.setItem(key, next);
      } catch {
        // As above.
      }
      dispatchEvent(new Event("themechange"));
    });
  });
  dark.addEventListener("change", () => dispatchEvent(new Event("themechange")));
})();
