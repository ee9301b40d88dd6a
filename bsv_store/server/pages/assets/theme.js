"use strict";
// Before anything is drawn, so that the page does not flash in the other theme.
try {
  const chosen = localStorage.getItem("bsv-store-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch (error) {
  // Storage may be blocked; the system's theme is used.
  console.debug(error);
}
