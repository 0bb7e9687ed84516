// What grids are made of: squares, captions, and the bar of what can be done with a selection.

import * as api from "./api.js";
import { button, counted, h, icon, similarity } from "./dom.js";

/** The square of a face. */
export function square(face_id, { hidden = false, confirmed = false } = {}) {
  const picture = face_id
    ? h("img", { src: api.faceUrl(face_id), alt: "", draggable: false, decoding: "async" })
    : h("span", { class: "nobody" }, icon("unsorted"));
  return h(
    "div",
    { class: `square ${hidden ? "hidden-person" : ""}` },
    picture,
    h("span", { class: "tick", "aria-hidden": "true" }, icon("check")),
    confirmed ? h("span", { class: "confirmed", title: "confirmed" }, icon("check")) : null,
  );
}

/** The cell of a face among others of its person: how alike it is, and whether somebody said so. */
export const faceCell = (face) => [
  square(face.face_id, { confirmed: face.confirmed }),
  h(
    "span",
    { class: "sub likeness", style: { "--likeness": Math.max(0, Math.min(1, face.similarity ?? 0)) } },
    h("span", { class: "track" }),
    h("span", {}, similarity(face.similarity)),
  ),
];

/** A face in words. */
export const faceWords = (face) =>
  `${face.path?.split("/").at(-1) ?? `face ${face.face_id}, whose picture is gone`}` +
  (face.similarity ? `, similarity ${similarity(face.similarity)}` : "") +
  (face.confirmed ? ", confirmed" : "");

/** Show the bar while something is selected. acts: buttons. */
export function selectionBar(bar, grid, one, many, acts) {
  const { size } = grid.choice;
  bar.hidden = size === 0;
  document.body.classList.toggle("choosing", size > 0);
  if (!size) return void bar.replaceChildren();
  bar.replaceChildren(
    h("span", { class: "chosen", role: "status" }, `${counted(size, one, many)} selected`),
    ...acts.filter(Boolean),
    button("Clear", () => grid.choice.clear(), { key: "Esc", kind: "quiet" }),
  );
}

/** Say that a list is empty, why it could not be had, or that of the faces in it no picture is left; else nothing.
 * words: [title, sentence], of an empty one. */
export function empty(message, pages, [title, sentence]) {
  const rows = [...(pages.rows?.values() ?? [])];
  if (pages.error) {
    message.replaceChildren(
      h("h2", {}, "This could not be shown"),
      h("p", {}, pages.error.message),
      button("Try again", () => pages.renew()),
    );
  } else if (pages.loaded && pages.total === 0) message.replaceChildren(h("h2", {}, title), h("p", {}, sentence));
  else if (rows.length && rows.every(({ path }) => path === null))
    message.replaceChildren(
      h("h2", {}, "The pictures are gone"),
      h("p", {}, "Somebody took their files out of the library. What is known of the faces is kept until the person is forgotten."),
    );
  else message.replaceChildren();
}
