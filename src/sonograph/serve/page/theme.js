"use strict";
// Before anything is drawn: the colours that were chosen last time.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* storage is off: the system decides */ }
