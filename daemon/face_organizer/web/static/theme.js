// Light, dark, or as the system says. Runs before the first paint, so it is no module.
"use strict";
(() => {
  const KEY = "face-organizer-theme";
  const CHOICES = ["auto", "light", "dark"];
  const read = () => {
    try {
      return CHOICES.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "auto";
    } catch {
      return "auto"; // a browser that keeps nothing
    }
  };
  const show = (choice) => {
    document.documentElement.dataset.theme = choice;
  };
  show(read());
  window.theme = {
    get choice() {
      return document.documentElement.dataset.theme;
    },
    next() {
      const choice = CHOICES[(CHOICES.indexOf(this.choice) + 1) % CHOICES.length];
      show(choice);
      try {
        localStorage.setItem(KEY, choice);
      } catch {
        // it lasts as long as the page
      }
      return choice;
    },
  };
})();
