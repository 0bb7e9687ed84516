// One image, large: a box on each face, who is who, why, and what to do about it. Keys: arrows, x, t, Enter, Escape.

import * as api from "./api.js";
import * as acts from "./acts.js";
import { button, counted, h, iconButton, similarity } from "./dom.js";

/** Open the image of a row of Pages (its image_id); the arrows go on through the list. */
export const openImage = (pages, index) => new Viewer(pages, index).open();

/** Open one image alone. */
export const openOneImage = (image_id, face_id = null) =>
  openImage({ total: 1, range: async () => [{ image_id, face_id }] }, 0);

const keyOf = (row) => row && (row.face_id ?? row.image_id);

class Viewer {
  constructor(pages, index) {
    Object.assign(this, { pages, index, row: null, chosen: null });
  }

  open() {
    this.before = document.activeElement;
    this.picture = h("div", { class: "picture" });
    this.side = h("aside", { class: "side", "aria-label": "Who is in it" });
    this.place = h("span", { class: "count", "aria-live": "polite" });
    this.box = h(
      "dialog",
      { class: "viewer", tabIndex: -1, "aria-label": "Image", on: { close: () => this.closed(), keydown: (event) => this.key(event) } },
      h(
        "header",
        {},
        this.place,
        h("span", { class: "spacer" }),
        iconButton("Previous", "back", () => this.go(-1), { "aria-keyshortcuts": "ArrowLeft" }),
        iconButton("Next", "next", () => this.go(1), { "aria-keyshortcuts": "ArrowRight" }),
        iconButton("Close", "close", () => this.box.close()),
      ),
      h("div", { class: "viewer-body" }, this.picture, this.side),
    );
    this.again = () => this.row && this.show();
    acts.changes.addEventListener("changed", this.again);
    document.body.append(this.box);
    this.box.showModal();
    this.box.focus();
    this.go(0);
  }

  closed() {
    acts.changes.removeEventListener("changed", this.again);
    this.box.remove();
    if (this.before?.isConnected) this.before.focus({ preventScroll: true });
  }

  /** Turn the page. What was put right may have left the list meanwhile: then the next one has moved up. */
  async go(step) {
    const [here] = await this.pages.range(this.index, this.index);
    const moved_up = this.row !== null && step > 0 && keyOf(here) !== keyOf(this.row);
    const index = this.index + (moved_up ? step - 1 : step);
    const [row] = index < 0 ? [] : await this.pages.range(index, index);
    if (!row) return;
    Object.assign(this, { index, row, chosen: row.face_id ?? null });
    await this.show();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const run = {
      ArrowLeft: () => this.go(-1),
      ArrowRight: () => this.go(1),
      ArrowDown: () => this.turn(1),
      ArrowUp: () => this.turn(-1),
      x: () => this.face?.person_id && acts.reject([this.face]),
      t: () => this.face && acts.assign([this.face]),
      u: acts.undo,
      o: () => this.face?.person_id && this.goTo(this.face.person_id),
    }[event.key];
    if (!run || this.box !== event.target.closest("dialog")) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  }

  /** The face that is meant. */
  get face() {
    return this.image?.faces.find(({ face_id }) => face_id === this.chosen);
  }

  turn(step) {
    const { faces } = this.image ?? { faces: [] };
    if (!faces.length) return;
    const at = faces.findIndex(({ face_id }) => face_id === this.chosen);
    this.choose(faces[(at + step + faces.length) % faces.length].face_id);
  }

  goTo(person_id) {
    this.box.close();
    location.hash = `#/person/${person_id}`;
  }

  async show() {
    const { row } = this;
    this.place.textContent = this.pages.total > 1 ? `${this.index + 1} of ${counted(this.pages.total, "image")}` : "";
    try {
      const image = await api.image(row.image_id);
      if (row !== this.row) return;
      if (this.image?.image_id !== image.image_id) this.draw(image);
      this.image = image;
      const known = image.faces.some(({ face_id }) => face_id === this.chosen);
      this.drawFaces();
      if (image.faces.length) this.choose(known ? this.chosen : image.faces[0].face_id);
      else this.side.replaceChildren(...this.about(), h("p", {}, "No face was found in this image."));
    } catch (error) {
      this.side.replaceChildren(h("p", {}, error.message));
    }
  }

  draw(image) {
    const { width_px, height_px } = image;
    this.frame = h(
      "div",
      { class: "frame", style: { "--width": width_px, "--height": height_px } },
      h("img", { src: api.imageUrl(image.image_id), alt: image.path?.split("/").at(-1) ?? "" }),
    );
    this.picture.replaceChildren(this.frame);
  }

  drawFaces() {
    const { faces, width_px, height_px } = this.image;
    const part = (value, of) => `${((100 * value) / of).toFixed(3)}%`;
    this.frame.querySelectorAll("button").forEach((node) => node.remove());
    for (const face of faces) {
      const [x1, y1, x2, y2] = face.box;
      const style = {
        left: part(x1, width_px),
        top: part(y1, height_px),
        width: part(x2 - x1, width_px),
        height: part(y2 - y1, height_px),
      };
      const who = face.person ?? "nobody";
      const on = { click: () => this.choose(face.face_id), dblclick: () => face.person_id && this.goTo(face.person_id) };
      this.frame.append(
        h("button", { class: "face-box", style, "aria-label": who, data: { face: face.face_id }, on }, h("span", {}, who)),
      );
    }
  }

  choose(face_id) {
    this.chosen = face_id;
    for (const box of this.frame.querySelectorAll(".face-box")) {
      box.setAttribute("aria-pressed", String(Number(box.dataset.face) === face_id));
    }
    this.tell();
  }

  about() {
    const { path = "", width_px, height_px, image_id } = this.image;
    return [
      h("h2", {}, path.split("/").at(-1)),
      h("p", { class: "note" }, `${path.split("/").at(-2) ?? ""} · ${width_px} × ${height_px}`),
      h("p", {}, h("a", { class: "button", href: api.fileUrl(image_id), download: "" }, "Download the original")),
    ];
  }

  async tell() {
    const { face, chosen } = this;
    const known = face.person_id !== null && face.person_id !== undefined;
    const reason = h("div", { class: "why" });
    this.side.replaceChildren(
      ...this.about(),
      h(
        "div",
        { class: "who" },
        h("img", { class: "avatar large", src: api.faceUrl(face.face_id), alt: "" }),
        known
          ? h("a", { href: `#/person/${face.person_id}`, on: { click: () => this.box.close() } }, face.person)
          : h("span", { class: "unnamed" }, "nobody (yet)"),
      ),
      h(
        "div",
        { class: "acts" },
        button("This is ...", () => acts.assign([face]), { key: "t", image: "people" }),
        known ? button("Not this person", () => acts.reject([face]), { key: "x", image: "no", kind: "danger" }) : null,
      ),
      reason,
    );
    try {
      const told = await api.face(chosen);
      if (this.chosen === chosen) reason.replaceChildren(...why(told.explain));
    } catch (error) {
      if (this.chosen === chosen) reason.replaceChildren(h("p", { class: "note" }, error.message));
    }
  }
}

/** Who else it looks like; of a face of nobody, whom it resembles most. */
const nextOf = ({ person_id, next_person, margin }) =>
  person_id
    ? `next is ${next_person}, ${similarity(Math.abs(margin ?? 0))} ${margin < 0 ? "ahead" : "behind"}`
    : `most like ${next_person}`;

/** Why a face is where it is. */
function why(told) {
  const said = told.because ? told.because.charAt(0).toUpperCase() + told.because.slice(1) : "";
  const figures = [
    told.similarity !== null && told.similarity !== undefined ? `similarity ${similarity(told.similarity)}` : "",
    told.next_person ? nextOf(told) : "",
    told.quality !== undefined ? `quality ${similarity(told.quality)}` : "",
  ].filter(Boolean);
  const near = told.nearest ?? [];
  return [
    h("h3", {}, "Why it is there"),
    h("p", {}, said ? `${said}.` : "It has not been said."),
    h("p", { class: "note" }, figures.join(" · ")),
    near.length ? h("h3", {}, "The most similar faces") : null,
    near.length
      ? h(
          "ul",
          { class: "near" },
          ...near.map((each) =>
            h(
              "li",
              {},
              h("img", { class: "avatar", src: api.faceUrl(each.face_id), alt: "" }),
              h("span", {}, each.person ?? "nobody"),
              h("small", {}, similarity(each.similarity)),
            ),
          ),
        )
      : null,
  ].filter(Boolean);
}
