// Everybody on a plane, for looking: who looks alike lies close together. A canvas; the grid of people says the same.

import * as api from "./api.js";
import { counted, h, iconButton } from "./dom.js";
import { Plane } from "./plane.js";

const REACH_PX = 14;
const RADIUS_MIN_PX = 2.5;
const RADIUS_MAX_PX = 34;
const KEPT_MAX = 400; // pictures of faces in memory
const FACES_FROM_PX = 10; // discs larger than that show the face

export function mapView(host) {
  const map = new PeopleMap(host);
  map.look();
  const themed = () => map.draw();
  document.addEventListener("theme", themed);
  return {
    title: "Map",
    keys: [
      { key: "+", words: "closer", run: () => map.zoom(1.5) },
      { key: "-", words: "further away", run: () => map.zoom(1 / 1.5) },
      { key: "0", words: "see all", run: () => map.fit() },
    ],
    told: [
      { keys: ["←", "↑", "→", "↓"], words: "go to the next person that way" },
      { keys: ["Enter"], words: "open the person" },
    ],
    renew: () => map.look(),
    close: () => {
      document.removeEventListener("theme", themed);
      map.close();
    },
  };
}

class PeopleMap {
  constructor(host) {
    this.plane = new Plane();
    this.points = [];
    this.chosen = null;
    this.faces = new Map();
    this.canvas = h("canvas", {
      tabIndex: 0,
      role: "application",
      "aria-label": "Map of people: arrows go from one to the next, Enter opens",
    });
    this.card = h("div", { class: "map-card", role: "status", hidden: true });
    this.count = h("span", { class: "count" });
    this.message = h("div", { class: "message" });
    this.stage = h("div", { class: "stage" }, this.canvas, this.card);
    host.append(
      h(
        "div",
        { class: "scroll map-view" },
        h(
          "header",
          { class: "head" },
          h("div", { class: "headline" }, h("h1", {}, "Map"), this.count),
          h(
            "div",
            { class: "controls" },
            h("span", { class: "note" }, "Who looks alike lies close together."),
            iconButton("Closer", "add", () => this.zoom(1.5)),
            iconButton("See all", "map", () => this.fit()),
          ),
        ),
        this.message,
        this.stage,
      ),
    );
    this.listen();
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(this.stage);
  }

  close() {
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
  }

  async look() {
    try {
      const { points } = await api.map();
      this.points = points.toSorted((one, other) => other.faces - one.faces);
      this.chosen = this.points.find(({ person_id }) => person_id === this.chosen?.person_id) ?? null;
      this.count.textContent = counted(points.length, "person", "people");
      this.message.replaceChildren(...(points.length ? [] : [h("h2", {}, "Nobody is here yet")]));
      if (this.plane.scale) this.draw(); // whoever looks closely stays where they are
      else this.fit();
    } catch (error) {
      this.message.replaceChildren(h("h2", {}, "There is no map"), h("p", {}, error.message));
    }
  }

  fit() {
    const { width, height } = this.stage.getBoundingClientRect();
    if (!width || !this.points.length) return;
    this.ratio = window.devicePixelRatio || 1;
    this.canvas.width = width * this.ratio;
    this.canvas.height = height * this.ratio;
    this.plane.fit(this.points, width, height);
    this.draw();
  }

  zoom(by, at) {
    this.plane.zoom(by, at);
    this.draw();
  }

  /** Of a disc, px: as there is room on the whole, larger for who has more faces, growing more slowly than the map. */
  radius({ faces }) {
    const { width, height, closeness } = this.plane;
    const room = Math.sqrt((width * height) / this.points.length);
    const share = 0.4 + 0.6 * (Math.log2(1 + faces) / Math.log2(1 + this.points[0].faces));
    return Math.max(RADIUS_MIN_PX, Math.min(RADIUS_MAX_PX, 0.3 * room * share) * Math.sqrt(closeness));
  }

  // drawing

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  paint() {
    if (!this.plane.scale) return;
    const pen = this.canvas.getContext("2d");
    const colour = (name) => getComputedStyle(this.stage).getPropertyValue(name);
    const [disc, named, ink] = [colour("--map-disc"), colour("--map-named"), colour("--map-ink")];
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.plane.width, this.plane.height);
    const placed = [];
    const chosenLast = [...this.points.filter((point) => point !== this.chosen), this.chosen].filter(Boolean);
    for (const point of chosenLast) {
      const { x, y } = this.plane.onScreen(point);
      const r = this.radius(point);
      if (x < -r || y < -r || x > this.plane.width + r || y > this.plane.height + r) continue;
      pen.fillStyle = pen.strokeStyle = point.named ? named : disc;
      pen.beginPath();
      pen.arc(x, y, r, 0, 2 * Math.PI);
      pen.fill();
      if (r >= FACES_FROM_PX) this.paintFace(pen, point, x, y, r);
      if (point === this.chosen) this.ring(pen, x, y, r, ink);
      placed.push({ point, x, y, r });
    }
    this.placed = placed;
    this.names(pen, ink);
    this.tell();
  }

  paintFace(pen, point, x, y, r) {
    const face = this.faceOf(point);
    if (!face?.complete || !face.naturalWidth) return;
    pen.save();
    pen.beginPath();
    pen.arc(x, y, r - 1.5, 0, 2 * Math.PI);
    pen.clip();
    pen.drawImage(face, x - r, y - r, 2 * r, 2 * r);
    pen.restore();
  }

  ring(pen, x, y, r, ink) {
    pen.strokeStyle = ink;
    pen.lineWidth = 2.5;
    pen.beginPath();
    pen.arc(x, y, r + 3, 0, 2 * Math.PI);
    pen.stroke();
  }

  /** Names where there is room: the larger first, none on top of another. */
  names(pen, ink) {
    const taken = [];
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = ink;
    pen.textAlign = "center";
    for (const { point, x, y, r } of this.placed) {
      if (!point.named && this.plane.closeness < 4) continue;
      const half = pen.measureText(point.name).width / 2;
      const box = [x - half, y + r + 2, x + half, y + r + 17];
      if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
      taken.push(box);
      pen.fillText(point.name, x, y + r + 14);
    }
  }

  /** A person's face as a picture; asked for at its first use, drawn as soon as it is there. */
  faceOf(point) {
    if (!this.faces.has(point.person_id)) {
      if (this.faces.size > KEPT_MAX) this.faces.delete(this.faces.keys().next().value);
      const face = new Image();
      this.faces.set(point.person_id, face);
      const cover = point.cover ? Promise.resolve(point) : api.person(point.person_id);
      cover.then(
        ({ cover: face_id }) => {
          face.onload = () => this.draw();
          face.src = api.faceUrl(face_id);
        },
        () => {},
      );
    }
    return this.faces.get(point.person_id);
  }

  /** The card of the one that is pointed at. */
  tell() {
    const { chosen } = this;
    this.card.hidden = !chosen;
    if (!chosen) return;
    if (this.told !== chosen) {
      this.told = chosen;
      const picture = h("img", { class: "avatar large", alt: "" });
      const face = this.faceOf(chosen);
      const show = () => face.src && picture.setAttribute("src", face.src);
      show();
      face.addEventListener("load", show);
      this.card.replaceChildren(
        picture,
        h("span", { class: chosen.named ? "" : "unnamed" }, chosen.name),
        h("small", {}, counted(chosen.faces, "face")),
      );
    }
    const { x, y } = this.plane.onScreen(chosen);
    const left = Math.min(this.plane.width - 180, Math.max(0, x + this.radius(chosen) + 10));
    this.card.style.setProperty("transform", `translate(${left}px, ${Math.min(this.plane.height - 90, Math.max(0, y - 40))}px)`);
  }

  // mouse, fingers, keys

  listen() {
    const at = (event) => ({ x: event.offsetX, y: event.offsetY });
    const { canvas } = this;
    const fingers = new Map();
    let moved = false;
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return void this.point(this.nearest(at(event)));
      fingers.set(event.pointerId, at(event));
      if (fingers.size === 2) this.pinch(fingers, event.pointerId, before);
      else this.pan(before, at(event));
      moved ||= Math.hypot(event.offsetX - before.x, event.offsetY - before.y) > 2;
    });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      moved = false;
      fingers.set(event.pointerId, at(event));
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    canvas.addEventListener("click", (event) => {
      const found = moved ? null : this.nearest(at(event));
      if (found && (found === this.chosen || event.pointerType !== "touch")) this.open(found);
      else if (!moved) this.point(found);
    });
    const wheel = (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), at(event));
    };
    canvas.addEventListener("wheel", wheel, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.chosen ?? this.point(this.points[0] ?? null));
  }

  pan(before, now) {
    this.plane.pan(now.x - before.x, now.y - before.y);
    this.draw();
  }

  pinch(fingers, id, before) {
    const [other] = [...fingers].filter(([each]) => each !== id).map(([, place]) => place);
    const now = fingers.get(id);
    const apart = (one) => Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
    this.zoom(apart(now) / apart(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }

  nearest({ x, y }) {
    let best = null;
    let least = Infinity;
    for (const each of this.placed ?? []) {
      const away = Math.hypot(each.x - x, each.y - y) - each.r;
      if (away < least) [least, best] = [away, each.point];
    }
    return least < REACH_PX ? best : null;
  }

  point(found) {
    if (found === this.chosen) return;
    this.chosen = found;
    this.canvas.classList.toggle("pointing", found !== null);
    this.draw();
  }

  open({ person_id }) {
    location.hash = `#/person/${person_id}`;
  }

  key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Enter" && this.chosen) this.open(this.chosen);
    else if (ways[event.key] && this.chosen) this.step(...ways[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** To the nearest one that way; the further aside, the further away. */
  step(dx, dy) {
    const from = this.plane.onScreen(this.chosen);
    let best = null;
    let least = Infinity;
    for (const point of this.points) {
      const { x, y } = this.plane.onScreen(point);
      const ahead = (x - from.x) * dx + (y - from.y) * dy;
      const aside = Math.abs((x - from.x) * dy) + Math.abs((y - from.y) * dx);
      if (ahead > 1 && ahead + 2 * aside < least) [least, best] = [ahead + 2 * aside, point];
    }
    if (!best) return;
    this.chosen = best;
    const { x, y } = this.plane.onScreen(best);
    if (x < 0 || y < 0 || x > this.plane.width || y > this.plane.height) this.plane.centre = { x: best.x, y: best.y };
    this.draw();
  }
}
