"use strict";
// Runs before the page is shown: the theme that the reader has chosen, if the browser keeps it.
(function () {
  const root = document.documentElement;
  root.dataset.scripts = "";
  try {
    const theme = localStorage.getItem("bitext-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch (error) {
    // The browser keeps nothing for files, or the reader has forbidden it.
  }
})();
