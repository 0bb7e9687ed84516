// Starts the page: which view is open, the keys of all views, the tools, what is dropped.

import * as api from "./api.js";
import { changes, undo } from "./acts.js";
import { complain } from "./dialog.js";
import { h, icon, iconButton, markGone } from "./dom.js";
import { dropping, pickPhoto } from "./drop.js";
import { bindEverywhere, bindHere, help, listen } from "./keys.js";
import { Live } from "./live.js";
import { askToken } from "./token.js";
import { changesView } from "./view_changes.js";
import { mapView } from "./view_map.js";
import { peopleView } from "./view_people.js";
import { personView } from "./view_person.js";
import { reviewView } from "./view_review.js";
import { searchView } from "./view_search.js";
import { trustView } from "./view_trust.js";
import { unsortedView } from "./view_unsorted.js";

const VIEWS = {
  people: peopleView,
  person: personView,
  review: reviewView,
  unsorted: unsortedView,
  changes: changesView,
  map: mapView,
  trust: trustView,
  search: searchView,
};
const NAV = [
  ["people", "People", "people", "1"],
  ["review", "Review", "review", "2"],
  ["unsorted", "Unsorted", "unsorted", "3"],
  ["changes", "Changes", "changes", "4"],
  ["map", "Map", "map", "5"],
  ["trust", "Trust", "trust", "6"],
];
const host = document.getElementById("view");
const bar = document.getElementById("bar");
const scrolled = new Map(); // where each address was left: going back finds it again

let open = null;

const where = () => {
  const [name, ...rest] = location.hash.replace(/^#\//, "").split("/");
  return VIEWS[name] ? { name, rest: rest.map(decodeURIComponent) } : { name: "people", rest: [] };
};

/** Show what the address says. A view is a function of (host, rest, bar) that returns {title, keys, told, renew, close}. */
function go() {
  if (open) {
    scrolled.set(open.address, open.scroller?.scrollTop ?? 0);
    open.close?.();
  }
  const { name, rest } = where();
  host.replaceChildren();
  bar.replaceChildren();
  bar.hidden = true;
  const restore_px = scrolled.get(location.hash) ?? 0;
  const view = VIEWS[name](host, rest, { bar, restore_px, retitle });
  open = { ...view, address: location.hash, scroller: host.querySelector(".scroll") };
  open.renewed = view;
  bindHere(view.title, view.keys ?? [], view.told ?? []);
  retitle(view.title);
  for (const link of document.querySelectorAll("#nav a")) {
    const current = link.dataset.view === name || (name === "person" && link.dataset.view === "people");
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

const retitle = (title) => (document.title = `${title} · Face Organizer`);

function navigation() {
  const nav = document.getElementById("nav");
  for (const [name, words, image, key] of NAV) {
    const badge = h("span", { class: "badge", data: { badge: name }, hidden: true });
    nav.append(
      h("a", { href: `#/${name}`, data: { view: name }, "aria-keyshortcuts": key }, icon(image), h("span", {}, words), badge),
    );
  }
  document.addEventListener("status", ({ detail }) => {
    const badge = nav.querySelector("[data-badge=changes]");
    badge.hidden = !detail.proposal;
    badge.textContent = "1";
    badge.setAttribute("aria-label", "a proposal waits");
  });
}

function tools() {
  const themed = () => ({ auto: "auto", light: "sun", dark: "moon" })[window.theme.choice];
  const words = () => ({ auto: "Light or dark as the system", light: "Light", dark: "Dark" })[window.theme.choice];
  const theme = iconButton(words(), themed(), () => {
    window.theme.next();
    theme.replaceChildren(icon(themed()));
    theme.setAttribute("aria-label", words());
    theme.title = words();
    document.dispatchEvent(new Event("theme"));
  });
  document
    .getElementById("tools")
    .append(
      iconButton("Search with a photo", "photo", pickPhoto),
      theme,
      iconButton("Keyboard", "help", help, { "aria-keyshortcuts": "?" }),
    );
}

/** The field for names, in whatever view we are. */
function findPeople() {
  const focus = () => document.getElementById("find")?.focus();
  if (where().name === "people") return focus();
  window.addEventListener("hashchange", focus, { once: true }); // after go(), which listens for longer
  location.hash = "#/people";
}

api.onAnswers({ askToken, reached: (yes) => live?.reached(yes) });

let live = null;
navigation();
tools();
listen();
document.addEventListener("error", ({ target }) => target instanceof HTMLImageElement && markGone(target), true);
dropping();
bindEverywhere([
  ...NAV.map(([name, words, , key]) => ({ key, words, run: () => (location.hash = `#/${name}`) })),
  { key: "/", words: "find somebody by name", run: findPeople },
  { key: "p", words: "search with a photo (or drop one anywhere)", run: pickPhoto },
  { key: "u", words: "take the last decision back", run: undo },
  { key: "?", words: "show this", run: help },
]);
window.addEventListener("hashchange", go);
changes.addEventListener("changed", (event) => (event.looked = open?.renewed?.renew?.()));
window.addEventListener("unhandledrejection", ({ reason }) => complain(reason));
live = new Live(document.getElementById("live"), document.getElementById("offline"));
go();
