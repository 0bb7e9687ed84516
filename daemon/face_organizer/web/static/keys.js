// The keyboard: what each key does in the view that is open, and the dialog that tells.

import { h } from "./dom.js";
import { dialog } from "./dialog.js";

/** Keys that every grid has; they are listened to in choose.js. */
export const GRID_KEYS = [
  { keys: ["←", "↑", "→", "↓"], words: "go from face to face" },
  { keys: ["Space"], words: "select or not" },
  { keys: ["Shift", "arrows"], words: "select as you go" },
  { keys: ["Ctrl", "A"], words: "select all" },
  { keys: ["Enter"], words: "open" },
  { keys: ["Esc"], words: "select nothing" },
];

let everywhere = [];
let here = { name: "", bindings: [], told: [] };

/** bindings: [{key, words, run(event)}]. `everywhere` hold in all views. */
export const bindEverywhere = (bindings) => (everywhere = bindings);

/** told: bindings that somebody else listens to. */
export const bindHere = (name, bindings, told = []) => (here = { name, bindings, told });

const typing = (node) => node.matches?.("input:not([type=checkbox], [type=range]), textarea, select, [contenteditable]");

/** Listen, for good. */
export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return; // a dialog has keys of its own
    const found = [...here.bindings, ...everywhere].find(({ key }) => key === event.key);
    if (!found) return;
    event.preventDefault();
    found.run(event);
  });
}

const line = ({ key, keys, words }) =>
  h(
    "div",
    { class: "key-line" },
    h("dt", {}, ...(keys ?? [key]).map((each) => h("kbd", {}, { ArrowLeft: "←", ArrowRight: "→" }[each] ?? each))),
    h("dd", {}, words),
  );

/** What the keyboard can do here. */
export function help() {
  const groups = [
    [here.name, [...here.bindings, ...here.told]],
    ["Everywhere", everywhere],
  ];
  const lists = groups
    .filter(([, lines]) => lines.length)
    .map(([name, lines]) => h("section", {}, h("h3", {}, name), h("dl", { class: "keys" }, ...lines.map(line))));
  return dialog("Keyboard", [h("div", { class: "key-lists" }, ...lists)], { wide: true });
}
