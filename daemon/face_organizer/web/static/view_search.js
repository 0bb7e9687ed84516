// Who is in this photo? It was dropped, pasted or picked; nothing of it is kept unless somebody says so.

import * as api from "./api.js";
import { changed } from "./acts.js";
import { complain, toast } from "./dialog.js";
import { button, counted, h, similarity } from "./dom.js";
import { droppedPhoto, pickPhoto } from "./drop.js";
import { openOneImage } from "./viewer.js";

const TOP = 100;

export function searchView(host) {
  const photo = droppedPhoto();
  const count = h("span", { class: "count" });
  const body = h("div", { class: "sheet" });
  host.append(
    h("div", { class: "scroll" }, h("header", { class: "head" }, h("div", { class: "headline" }, h("h1", {}, "Search"), count)), body),
  );
  if (photo) new Search(photo, body, count).look();
  else {
    body.append(
      h(
        "div",
        { class: "message" },
        h("h2", {}, "Who is in this photo?"),
        h("p", {}, "Drop a photo anywhere on the page, paste it, or choose it. Everybody who looks like the faces in it is shown. It is not kept."),
        button("Choose a photo", pickPhoto, { key: "p", image: "photo", kind: "primary" }),
      ),
    );
  }
  return { title: "Search", keys: [] };
}

class Search {
  constructor(photo, body, count) {
    Object.assign(this, { photo, count, face: 0, similarity_min: null });
    this.frame = h("div", { class: "frame" });
    this.results = h("div", { class: "results", "aria-live": "polite" });
    this.said = h("p", { class: "note" }, "Looking for faces ...");
    body.append(
      h(
        "div",
        { class: "probe" },
        this.frame,
        h(
          "div",
          { class: "probe-words" },
          h("h2", {}, photo.name || "Pasted photo"),
          this.said,
          h(
            "div",
            { class: "acts" },
            button("Another photo", pickPhoto, { image: "photo", key: "p" }),
            button("Add to the library", () => this.enrol(), { image: "add" }),
          ),
        ),
      ),
      this.results,
    );
  }

  async look() {
    await this.draw();
    try {
      this.found = await api.look(this.photo);
      this.boxes();
      const { faces } = this.found;
      this.said.textContent =
        faces.length === 0
          ? "No face was found in it. Try one where the face is larger or sharper."
          : faces.length > 1
            ? `${faces.length} faces: choose one.`
            : "One face.";
      if (faces.length) await this.search(faces.length === 1 ? 1 : this.largest(faces));
    } catch (error) {
      if (error.status === 404) await this.search(0); // no boxes to choose from: all faces
      else this.said.textContent = error.message;
    }
  }

  largest(faces) {
    const areas = faces.map(({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1));
    return areas.indexOf(Math.max(...areas)) + 1;
  }

  /** The photo on a canvas, not as an address: nothing leaves the page for it. */
  async draw() {
    try {
      const bitmap = await createImageBitmap(this.photo, { imageOrientation: "from-image" });
      const scale = Math.min(1, 900 / Math.max(bitmap.width, bitmap.height));
      const canvas = h("canvas", { width: bitmap.width * scale, height: bitmap.height * scale, role: "img" });
      canvas.setAttribute("aria-label", this.photo.name);
      canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      this.frame.style.setProperty("--width", bitmap.width);
      this.frame.style.setProperty("--height", bitmap.height);
      this.frame.append(canvas);
    } catch {
      this.frame.hidden = true; // a format that only the server reads
    }
  }

  boxes() {
    const { faces, width_px, height_px } = this.found;
    const part = (value, of) => `${((100 * value) / of).toFixed(3)}%`;
    faces.forEach(({ box: [x1, y1, x2, y2] }, at) => {
      const style = { left: part(x1, width_px), top: part(y1, height_px), width: part(x2 - x1, width_px), height: part(y2 - y1, height_px) };
      const on = { click: () => this.search(at + 1) };
      this.frame.append(h("button", { class: "face-box", style, "aria-label": `Face ${at + 1} of ${faces.length}`, on }));
    });
  }

  /** face: which one, from the left, 1 the first; 0: all of them. */
  async search(face) {
    this.face = face;
    this.frame.querySelectorAll(".face-box").forEach((box, at) => box.setAttribute("aria-pressed", String(at + 1 === face)));
    this.count.textContent = "Searching ...";
    try {
      const hits = await api.search(this.photo, { top: TOP, face: face || undefined });
      if (face === this.face) this.show(hits);
    } catch (error) {
      this.count.textContent = "";
      this.results.replaceChildren(h("p", {}, error.message));
    }
  }

  show(hits) {
    this.count.textContent = counted(hits.length, "image");
    const persons = new Map();
    for (const hit of hits) {
      const key = hit.person_id ?? 0;
      if (!persons.has(key)) persons.set(key, { ...hit, hits: [] });
      persons.get(key).hits.push(hit);
    }
    this.results.replaceChildren(
      ...(hits.length
        ? [...persons.values()].map((person) => this.person(person))
        : [h("div", { class: "message" }, h("h2", {}, "Nobody here looks like that"), h("p", {}, "Another photo of the same person may find more."))]),
    );
  }

  person({ person_id, person, hits }) {
    const name = person_id
      ? h("a", { href: `#/person/${person_id}` }, person)
      : h("span", { class: "unnamed" }, "nobody (yet)");
    return h(
      "section",
      { class: "found" },
      h("h3", {}, name, h("small", {}, ` ${counted(hits.length, "image")}, up to ${similarity(hits[0].similarity)}`)),
      h("div", { class: "hits" }, ...hits.map((hit) => this.hit(hit))),
    );
  }

  hit(hit) {
    const file = hit.image?.split("/").at(-1) ?? "";
    const on = { click: () => openOneImage(hit.image_id, hit.face_id) };
    return h(
      "button",
      { type: "button", class: "hit", "aria-label": `${file}, similarity ${similarity(hit.similarity)}`, on },
      h("img", { src: api.faceUrl(hit.face_id), alt: "", loading: "lazy" }),
      h("span", { class: "sub" }, similarity(hit.similarity)),
    );
  }

  async enrol() {
    try {
      const answer = await api.enrol(this.photo);
      const who = answer.faces.map(({ person }) => person ?? "nobody (yet)").join(", ");
      toast(answer.duplicate ? "It is in the library already." : `Added${who ? `: ${who}` : ""}.`);
      changed();
    } catch (error) {
      complain(error);
    }
  }
}
