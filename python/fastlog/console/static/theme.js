// Before the first paint: the theme that was chosen. "auto" leaves it to the system.
(function () {
  "use strict";
  let theme = "auto";
  try {
    theme = localStorage.getItem("fastlog-theme") || "auto";
  } catch {
    // Storage may be forbidden; then the system decides.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
