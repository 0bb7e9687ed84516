// Dialogs and toasts: the two ways in which the page speaks up.

import { button, h, iconButton } from "./dom.js";

/**
 * A modal dialog; a promise of what it was closed with, null if it was cancelled. content: nodes, or a function of
 * close(value) that makes them.
 */
export function dialog(title, content, { wide = false, kind = "" } = {}) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    let answer = null;
    const close = (value) => {
      answer = value;
      box.close();
    };
    const box = h(
      "dialog",
      {
        class: `dialog ${wide ? "wide" : ""} ${kind}`,
        "aria-label": title,
        on: {
          close: () => {
            box.remove();
            if (before?.isConnected) before.focus({ preventScroll: true });
            resolve(answer);
          },
          pointerdown: (event) => event.target === box && close(null), // beside it
        },
      },
      h(
        "div",
        { class: "dialog-body" },
        h("header", {}, h("h2", {}, title), iconButton("Close", "close", () => close(null))),
        ...(typeof content === "function" ? content(close) : content),
      ),
    );
    document.body.append(box);
    box.showModal();
    box.querySelector("[autofocus], input")?.focus();
  });
}

/** Ask for yes or no. */
export const confirm = (title, sentence, yes) =>
  dialog(title, (close) => [
    h("p", {}, sentence),
    h(
      "footer",
      {},
      button("Cancel", () => close(null)),
      button(yes, () => close(true), { kind: "primary", autofocus: true }),
    ),
  ]);

/** Ask for one line of text. */
export const askText = (title, { label, value = "", yes = "Save", type = "text", note = "" }) =>
  dialog(title, (close) => {
    const input = h("input", { id: "asked", type, value, autocomplete: "off", spellcheck: false, required: true });
    queueMicrotask(() => input.select());
    return [
      h(
        "form",
        {
          on: {
            submit: (event) => {
              event.preventDefault();
              if (input.value.trim()) close(input.value.trim());
            },
          },
        },
        h("label", { for: "asked" }, label),
        input,
        note ? h("p", { class: "note" }, note) : null,
        h("footer", {}, button("Cancel", () => close(null)), h("button", { class: "button primary", type: "submit" }, yes)),
      ),
    ];
  });

const SHOWN_S = 9;

/** A sentence that goes by itself, with something to do about it. acts: [[words, run]]. */
export function toast(sentence, { acts = [], kind = "" } = {}) {
  const host = document.getElementById("toasts");
  const clear = () => node.remove();
  const node = h(
    "div",
    { class: `toast ${kind}` },
    h("span", {}, sentence),
    ...acts.map(([words, run, key]) => button(words, () => (clear(), run()), { key, kind: "quiet" })),
    iconButton("Dismiss", "close", clear),
  );
  host.querySelectorAll(".toast:not(.error)").forEach((each) => each.remove()); // one at a time: the latest counts
  while (host.children.length > 2) host.firstElementChild.remove();
  // a dialog lies above everything else, so what is said meanwhile is said in it
  (document.querySelector("dialog[open] .dialog-body") ?? host).append(node);
  let timer = setTimeout(clear, SHOWN_S * 1000);
  const stay = () => clearTimeout(timer);
  node.addEventListener("pointerenter", stay);
  node.addEventListener("focusin", stay);
  node.addEventListener("pointerleave", () => (timer = setTimeout(clear, SHOWN_S * 1000)));
  return clear;
}

/** Tell of an error. */
export const complain = (error) => {
  if (error?.name === "AbortError") return;
  toast(error?.message ?? String(error), { kind: "error" });
};
