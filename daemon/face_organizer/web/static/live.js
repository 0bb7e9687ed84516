// What happens meanwhile: the server's events, the counters they move, and whether anybody is there.

import * as api from "./api.js";
import { changed } from "./acts.js";
import { count, h } from "./dom.js";

const LOOK_AGAIN_MS = 800;
const RETRY_MS = [1000, 2000, 5000, 10_000];
const MOVES_PEOPLE = ["image_enrolled", "recluster_finished", "decision_made", "decision_undone", "lost"];
const HEARD = [...MOVES_PEOPLE, "image_placed", "recluster_started", "image_quarantined", "inbox_lost", "inbox_back"];

/** host: where the counters are; offline: where it says that nobody is there. Listens for good. */
export class Live {
  constructor(host, offline) {
    this.host = host;
    this.offline = offline;
    this.tries = 0;
    this.timers = {};
    this.status = null;
    this.host.append(h("p", { class: "note" }, "Connecting ..."));
    this.connect();
    this.look();
    document.addEventListener("visibilitychange", () => !document.hidden && this.look());
  }

  /** After each answer or failure of any request. */
  reached(yes) {
    if (yes && this.away) {
      changed();
      this.say("");
    }
    if (!yes && !this.away) this.say("The daemon cannot be reached. This page goes on by itself as soon as it is back.");
    this.away = !yes;
    if (this.away) this.soon("look", () => this.look(), RETRY_MS[1]);
  }

  say(sentence) {
    this.offline.textContent = sentence;
    this.offline.hidden = !sentence;
    this.mark();
  }

  connect() {
    this.source = new EventSource(api.EVENTS);
    this.source.onopen = () => {
      this.mark();
      if (this.tries) this.missed(); // it began anew: nobody says what happened in between
      this.tries = 0;
    };
    this.source.onerror = () => {
      this.mark();
      // the browser reconnects by itself, with the id of the last event, unless it was refused
      if (this.source.readyState !== EventSource.CLOSED) return;
      const pause_ms = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)];
      this.tries += 1;
      setTimeout(() => this.connect(), pause_ms);
    };
    for (const name of HEARD) this.source.addEventListener(name, () => this.heard(name));
    for (const name of MOVES_PEOPLE) this.source.addEventListener(name, () => this.soon("people", changed, LOOK_AGAIN_MS));
  }

  missed() {
    changed();
    this.soon("look", () => this.look(), LOOK_AGAIN_MS);
  }

  heard(name) {
    if (name === "recluster_started") this.busy = true;
    if (name === "recluster_finished") this.busy = false;
    this.soon("look", () => this.look(), LOOK_AGAIN_MS);
  }

  /** Once for many: the first of a burst starts the clock. */
  soon(what, run, after_ms) {
    this.timers[what] ??= setTimeout(() => {
      delete this.timers[what];
      if (!document.hidden || what === "look") run();
    }, after_ms);
  }

  async look() {
    try {
      this.status = await api.status();
      this.busy = this.status.reclustering;
      this.draw();
      if (this.status.in_flight || this.busy) this.soon("look", () => this.look(), 3 * LOOK_AGAIN_MS);
    } catch {
      // reached() has heard of it
    }
  }

  get state() {
    if (this.away) return ["away", "not reached"];
    return this.source.readyState === EventSource.OPEN ? ["on", "live"] : ["waiting", "reconnecting"];
  }

  mark() {
    const dot = this.host.querySelector(".dot");
    if (!dot) return;
    const [kind, words] = this.state;
    dot.className = `dot ${kind}`;
    dot.nextSibling.textContent = this.activity ?? words;
  }

  get activity() {
    const { status } = this;
    if (this.away || !status) return null;
    if (status.paused) return "paused: a disk is full";
    if (this.busy) return "looking at all faces again";
    return status.in_flight ? `${count(status.in_flight)} on their way` : null;
  }

  draw() {
    const { status } = this;
    const line = (words, number, href) =>
      h("div", {}, h("dt", {}, href ? h("a", { href }, words) : words), h("dd", {}, count(number)));
    this.host.replaceChildren(
      h("p", { class: "state" }, h("span", { class: "dot" }), h("span", {})),
      h(
        "dl",
        {},
        line("people", status.persons, "#/people"),
        line("images", status.images),
        line("faces", status.faces),
        line("unsorted", status.outliers, "#/unsorted"),
        status.no_face ? line("without a face", status.no_face, "#/unsorted/no-face") : null,
        status.trash ? line("in trash/", status.trash) : null,
        status.quarantined ? line("unreadable", status.quarantined, "#/unsorted/unreadable") : null,
      ),
      ...[...(status.notices ?? []), ...(status.problems ?? [])]
        .slice(0, 2)
        .map((problem) => h("p", { class: "problem" }, problem)),
    );
    this.mark();
    document.dispatchEvent(new CustomEvent("status", { detail: status }));
  }
}
