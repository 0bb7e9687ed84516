// One person: every face, the most similar first, so that intruders sit last.

import * as api from "./api.js";
import * as acts from "./acts.js";
import { button, counted, h, iconButton } from "./dom.js";
import { Grid } from "./grid.js";
import { GRID_KEYS } from "./keys.js";
import { Pages } from "./pages.js";
import { empty, faceCell, faceWords, selectionBar } from "./tiles.js";
import { openImage } from "./viewer.js";

export function personView(host, [id], { bar, restore_px, retitle }) {
  const wanted = { order: "similarity" };
  let person = null;
  const pages = new Pages(async (offset, limit) => {
    const { total, faces } = await api.facesOf(id, { ...wanted, offset, limit });
    return { total, rows: faces };
  });
  const head = h("header", { class: "head person-head" });
  const message = h("div", { class: "message" });
  const scroll = h("div", { class: "scroll" }, head, message);
  host.append(scroll);
  const grid = new Grid({
    scroller: scroll,
    pages,
    label: "Faces, the most similar first",
    below_px: 24,
    sideMin_px: 112,
    keyOf: ({ face_id }) => face_id,
    cell: faceCell,
    describe: faceWords,
    open: (_face, index) => openImage(pages, index),
    chosen: () => showBar(),
  });
  scroll.append(grid.host);
  grid.arrived = () => {
    empty(message, pages, ["Nobody is left here", "Every face of this person has gone elsewhere."]);
    if (restore_px && pages.loaded) {
      scroll.scrollTop = restore_px;
      restore_px = 0;
    }
  };

  async function look() {
    try {
      person = await api.person(id);
      if (person.redirect) return void (location.hash = `#/person/${person.redirect}`);
      retitle(person.name);
      head.replaceChildren(...heading(person, on, wanted, () => pages.renew()));
    } catch (error) {
      head.replaceChildren(h("div", { class: "headline" }, back(), h("h1", {}, `Person ${id}`)), h("p", {}, error.message));
    }
    return pages.renew();
  }
  const faces = () => grid.choice.targets();
  const done = (answers) => answers && grid.choice.clear();
  const on = {
    reject: async () => faces().length && done(await acts.reject(faces())),
    assign: async () => done(await acts.assign(faces(), Number(id))),
    confirm: async () => {
      const ids = faces().map(({ face_id }) => face_id);
      if (!ids.length || !person) return;
      const sentence = `${counted(ids.length, "face")} confirmed to be ${person.name}`;
      done(await acts.decide([["assign", { faces: ids, person: person.person_id }]], sentence));
    },
    name: () => person && acts.name(person),
    merge: () => person && acts.merge([person]),
    split: () => person && acts.split(person),
    hide: () => person && acts.hide([person]),
  };
  function showBar() {
    selectionBar(bar, grid, "face", "faces", [
      button("Not this person", on.reject, { key: "x", image: "no", kind: "danger" }),
      button("This is ...", on.assign, { key: "t", image: "people" }),
      button("Confirm", on.confirm, { key: "c", image: "check" }),
    ]);
  }
  look();
  return {
    title: "Person",
    keys: [
      { key: "x", words: "not this person: it never comes back", run: on.reject },
      { key: "t", words: "this is ... (somebody else, or somebody new)", run: on.assign },
      { key: "c", words: "confirm that this is the person", run: on.confirm },
      { key: "n", words: "name the person", run: on.name },
      { key: "m", words: "merge the person into another", run: on.merge },
      { key: "s", words: "split the person", run: on.split },
      { key: "h", words: "hide the person, or show again", run: on.hide },
      { key: "Backspace", words: "back to everybody", run: () => (location.hash = "#/people") },
    ],
    told: GRID_KEYS,
    renew: look,
    close: () => grid.destroy(),
  };
}

const back = () => iconButton("Back to everybody", "back", () => (location.hash = "#/people"));

function heading(person, on, wanted, look) {
  const order = (value, words) =>
    h(
      "button",
      {
        type: "button",
        class: "segment",
        "aria-pressed": String(wanted.order === value),
        on: {
          click: (event) => {
            wanted.order = value;
            for (const each of event.target.parentNode.children) each.setAttribute("aria-pressed", String(each === event.target));
            look();
          },
        },
      },
      words,
    );
  return [
    h(
      "div",
      { class: "headline" },
      back(),
      h("img", { class: "avatar large", src: api.faceUrl(person.cover), alt: "" }),
      h(
        "div",
        {},
        h("h1", { class: person.named ? "" : "unnamed" }, person.name),
        h(
          "span",
          { class: "count" },
          [
            counted(person.faces, "face"),
            `in ${counted(person.images, "image")}`,
            person.confirmed ? `${person.confirmed} confirmed` : "",
            person.hidden ? "hidden" : "",
          ]
            .filter(Boolean)
            .join(" · "),
        ),
      ),
    ),
    h(
      "div",
      { class: "controls" },
      button(person.named ? "Rename" : "Name", on.name, { key: "n", image: "pen", kind: person.named ? "" : "primary" }),
      button("Merge", on.merge, { key: "m", image: "merge" }),
      button("Split", on.split, { key: "s", image: "split" }),
      button(person.hidden ? "Show again" : "Hide", on.hide, { key: "h", image: "hide" }),
      h(
        "div",
        { class: "segments", role: "group", "aria-label": "Order" },
        order("similarity", "Intruders last"),
        order("newest", "Newest first"),
      ),
    ),
  ];
}
