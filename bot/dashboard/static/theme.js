// Lets a reader choose light or dark. The server reads the cookie, so that the next page is right from its first pixel.
"use strict";

(() => {
  const button = document.getElementById("theme");
  if (!button) return;

  const themes = ["system", "light", "dark"];
  let current = document.documentElement.dataset.theme || "system";

  function show() {
    if (current === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = current;
    button.textContent = `Theme: ${current}`;
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    current = themes[(themes.indexOf(current) + 1) % themes.length];
    const age = current === "system" ? 0 : 31536000;
    document.cookie = `theme=${current}; path=/; max-age=${age}; samesite=strict`;
    show();
    document.dispatchEvent(new Event("theme-changed")); // charts are drawn anew: their colours are no style
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new Event("theme-changed"));
  });
  show();
})();
