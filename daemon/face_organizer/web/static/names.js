// Type-ahead over everybody's names: a combobox in a dialog.

import * as api from "./api.js";
import { complain, dialog } from "./dialog.js";
import { counted, h } from "./dom.js";

const SHOWN = 30;
const PAUSE_MS = 120;

/**
 * Which person? A promise of {person_id, called}, of {name} for somebody new (if allowNew), or null.
 * faces: shown on top. exclude: a person_id that is not offered.
 */
export const askPerson = (title, { faces = [], exclude = null, allowNew = false } = {}) =>
  dialog(title, (close) => new NameBox(close, exclude, allowNew).nodes(faces));

class NameBox {
  constructor(close, exclude, allowNew) {
    Object.assign(this, { close, exclude, allowNew, offers: [], active: 0 });
    this.list = h("div", { class: "names", id: "names", role: "listbox", "aria-label": "Persons" });
    this.input = h("input", {
      type: "text",
      role: "combobox",
      autocomplete: "off",
      spellcheck: false,
      placeholder: allowNew ? "A name, or somebody new" : "A name",
      "aria-label": "Name of the person",
      "aria-expanded": "true",
      "aria-controls": "names",
      "aria-autocomplete": "list",
      on: { input: () => this.later(), keydown: (event) => this.key(event) },
    });
    this.find();
  }

  nodes(faces) {
    const shown = faces.slice(0, 6).map(({ face_id }) => h("img", { class: "avatar", src: api.faceUrl(face_id), alt: "" }));
    if (faces.length > 6) shown.push(h("small", {}, `and ${faces.length - 6} more`));
    return [shown.length ? h("div", { class: "strip" }, ...shown) : null, this.input, this.list].filter(Boolean);
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.find(), PAUSE_MS);
  }

  async find() {
    this.asking?.abort();
    this.asking = new AbortController();
    const text = this.input.value.trim();
    try {
      const values = { everybody: true, query: text, limit: SHOWN };
      const { people } = await api.people(values, { signal: this.asking.signal });
      this.show(text, people.filter(({ person_id }) => person_id !== this.exclude));
    } catch (error) {
      complain(error);
    }
  }

  show(text, people) {
    const known = people.some(({ name }) => name.toLowerCase() === text.toLowerCase());
    // who has a name comes first: people look for names
    const ordered = [...people.filter(({ named }) => named), ...people.filter(({ named }) => !named)];
    this.offers = ordered.map((person) => ({ value: { person_id: person.person_id, called: person.name }, person }));
    if (this.allowNew && text && !known) this.offers.push({ value: { name: text }, name: text });
    this.active = 0;
    this.list.replaceChildren(...this.offers.map((offer, at) => this.line(offer, at)));
    if (!this.offers.length) {
      this.list.append(h("p", { class: "note" }, text ? `Nobody here is called “${text}”.` : "Nobody has a name yet."));
    }
    this.mark();
  }

  line({ person, name, value }, at) {
    const words = person
      ? [
          h("img", { class: "avatar", src: api.faceUrl(person.cover), alt: "" }),
          h("span", { class: person.named ? "" : "unnamed" }, person.name),
          h("small", {}, counted(person.faces, "face")),
        ]
      : [h("span", { class: "avatar new" }, "+"), h("span", {}, `New person: ${name}`)];
    const on = { click: () => this.close(value), pointermove: () => ((this.active = at), this.mark()) };
    return h("div", { role: "option", id: `name-${at}`, class: "name-line", on }, ...words);
  }

  mark() {
    [...this.list.children].forEach((node, at) => {
      if (node.getAttribute("role") === "option") node.setAttribute("aria-selected", String(at === this.active));
    });
    if (this.offers.length) this.input.setAttribute("aria-activedescendant", `name-${this.active}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.offers.length) {
      this.active = (this.active + step + this.offers.length) % this.offers.length;
      this.mark();
      this.list.children[this.active].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") this.enter();
    else return;
    event.preventDefault();
  }

  /** Take what is marked; what was typed since the last answer is asked about first. */
  async enter() {
    if (this.timer) {
      clearTimeout(this.timer);
      this.timer = 0;
      await this.find();
    }
    if (this.offers[this.active]) this.close(this.offers[this.active].value);
  }
}
