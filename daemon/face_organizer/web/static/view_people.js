// Everybody, as a grid of the faces that stand for them.

import * as api from "./api.js";
import * as acts from "./acts.js";
import { button, count, counted, h } from "./dom.js";
import { Grid } from "./grid.js";
import { GRID_KEYS } from "./keys.js";
import { Pages } from "./pages.js";
import { empty, selectionBar, square } from "./tiles.js";

const PAUSE_MS = 150;

export function peopleView(host, _rest, { bar, restore_px }) {
  let left_out = 0;
  const wanted = { query: "", everybody: false };
  const pages = new Pages(async (offset, limit) => {
    const { total, people, hidden } = await api.people({ ...wanted, offset, limit });
    left_out = hidden;
    return { total, rows: people };
  });
  const open = ({ person_id }) => (location.hash = `#/person/${person_id}`);
  const head = heading(wanted, () => pages.renew());
  const message = h("div", { class: "message" });
  const scroll = h("div", { class: "scroll" }, head, message);
  host.append(scroll);
  const grid = new Grid({
    scroller: scroll,
    pages,
    label: "Persons",
    below_px: 46,
    sideMin_px: 128,
    keyOf: ({ person_id }) => person_id,
    cell: personCell,
    describe: (person) =>
      `${person.name}, ${counted(person.faces, "face")}${person.hidden ? ", hidden" : ""}`,
    open,
    chosen: () => showBar(),
  });
  scroll.append(grid.host);
  grid.arrived = () => {
    head.querySelector(".count").textContent = pages.loaded
      ? counted(pages.total, "person", "people") + (left_out ? `, ${count(left_out)} hidden` : "")
      : "";
    empty(message, pages, wanted.query ? NOBODY_CALLED : NOBODY);
    if (restore_px && pages.loaded) {
      scroll.scrollTop = restore_px;
      restore_px = 0;
    }
  };
  const done = (answers) => answers && grid.choice.clear();
  const on = {
    name: async () => done(await acts.name(grid.choice.targets()[0])),
    merge: async () => done(await acts.merge(grid.choice.targets())),
    split: async () => done(await acts.split(grid.choice.targets()[0])),
    hide: async () => done(await acts.hide(grid.choice.targets())),
  };
  const some = (run) => () => grid.choice.targets().length && run();
  function showBar() {
    const chosen = grid.choice.targets();
    const one = grid.choice.size === 1;
    selectionBar(bar, grid, "person", "people", [
      one ? button("Name", on.name, { key: "n", image: "pen" }) : null,
      button(one ? "Merge into" : "Merge", on.merge, { key: "m", image: "merge" }),
      one ? button("Split", on.split, { key: "s", image: "split" }) : null,
      button(chosen[0]?.hidden ? "Show again" : "Hide", on.hide, { key: "h", image: "hide" }),
    ]);
  }
  pages.renew();
  return {
    title: "People",
    keys: [
      { key: "n", words: "name the person", run: some(on.name) },
      { key: "m", words: "merge what is selected, or the person into another", run: some(on.merge) },
      { key: "s", words: "split the person", run: some(on.split) },
      { key: "h", words: "hide, or show again", run: some(on.hide) },
    ],
    told: GRID_KEYS,
    renew: () => pages.renew(),
    close: () => grid.destroy(),
  };
}

const NOBODY = [
  "Nobody is here yet",
  "Put photos into the inbox: whoever is seen in two of them appears here. Nothing has to be named.",
];
const NOBODY_CALLED = ["Nobody is called that", "Persons without a name are found by their number."];

function heading(wanted, look) {
  let timer = 0;
  const find = h("input", {
    id: "find",
    type: "search",
    placeholder: "Find by name",
    "aria-label": "Find by name",
    "aria-keyshortcuts": "/",
    autocomplete: "off",
    spellcheck: false,
    on: {
      input: () => {
        wanted.query = find.value.trim();
        clearTimeout(timer);
        timer = setTimeout(look, PAUSE_MS);
      },
      keydown: (event) => {
        if (event.key !== "ArrowDown" && event.key !== "Enter") return;
        event.preventDefault();
        document.querySelector(".grid")?.focus();
      },
    },
  });
  const hidden = h("input", {
    type: "checkbox",
    on: {
      change: () => {
        wanted.everybody = hidden.checked;
        look();
      },
    },
  });
  return h(
    "header",
    { class: "head" },
    h("div", { class: "headline" }, h("h1", {}, "People"), h("span", { class: "count" })),
    h("div", { class: "controls" }, h("label", { class: "check" }, hidden, "Hidden too"), find),
  );
}

function personCell(person) {
  return [
    square(person.cover, { hidden: person.hidden }),
    h("span", { class: `caption ${person.named ? "" : "unnamed"}` }, person.name),
    h("span", { class: "sub" }, counted(person.faces, "face")),
  ];
}
