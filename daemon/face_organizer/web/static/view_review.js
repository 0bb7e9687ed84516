// Questions, one at a time, the one that puts most faces right first. y, n, or s to skip.

import * as api from "./api.js";
import * as acts from "./acts.js";
import { complain } from "./dialog.js";
import { button, counted, h, similarity } from "./dom.js";
import { openOneImage } from "./viewer.js";

const ASKED = 50;
const FACES_SHOWN = 6;

export function reviewView(host) {
  const review = new Review(host);
  review.look();
  return {
    title: "Review",
    keys: [
      { key: "y", words: "yes", run: () => review.answer(true) },
      { key: "n", words: "no", run: () => review.answer(false) },
      { key: "s", words: "skip: ask me later", run: () => review.skip() },
      { key: "ArrowRight", words: "skip", run: () => review.skip() },
      { key: "ArrowLeft", words: "back to what was skipped last", run: () => review.back() },
    ],
    renew: () => review.look(),
  };
}

/** What a question is about, so that a skipped one is known when it comes again. */
const keyOf = (question) =>
  question.kind === "same"
    ? `same ${question.a.person_id} ${question.b.person_id}`
    : `intruder ${question.face.face_id} ${question.person.person_id}`;

class Review {
  constructor(host) {
    this.card = h("section", { class: "question", tabIndex: -1, "aria-live": "polite", "aria-label": "Question" });
    this.count = h("span", { class: "count" });
    this.skipped = [];
    this.answered = 0;
    this.put_right = 0;
    this.queue = [];
    this.busy = false;
    host.append(
      h(
        "div",
        { class: "scroll" },
        h("header", { class: "head" }, h("div", { class: "headline" }, h("h1", {}, "Review"), this.count)),
        this.card,
      ),
    );
  }

  async look() {
    try {
      this.queue = await api.review(ASKED);
    } catch (error) {
      complain(error);
      this.queue = [];
    }
    this.show();
  }

  get open() {
    return this.queue.filter((question) => !this.skipped.includes(keyOf(question)));
  }

  show() {
    const [question] = this.open;
    const done = this.answered
      ? `${counted(this.answered, "answer")}${this.put_right >= 0.5 ? `, about ${counted(Math.round(this.put_right), "face")} put right` : ""}`
      : "";
    const left = this.open.length ? `${this.open.length}${this.queue.length >= ASKED ? "+" : ""} to ask` : "";
    this.count.textContent = [left, done].filter(Boolean).join(" · ");
    const key = question ? keyOf(question) : "";
    if (key && key === this.shown) return; // somebody else changed something: do not make this one jump
    this.shown = key;
    this.question = question;
    this.card.replaceChildren(...(question ? this.asked(question) : this.nothing()));
    // not a button: Space and Enter must not answer what nobody has looked at
    if (!document.querySelector("dialog[open]")) this.card.focus({ preventScroll: true });
  }

  nothing() {
    const again = () => {
      this.skipped = [];
      this.show();
    };
    return [
      h(
        "div",
        { class: "message" },
        h("h2", {}, this.queue.length ? "Only skipped questions are left" : "Nothing to ask"),
        h("p", {}, this.queue.length ? "" : "Likely doubles and likely intruders are asked about here as they turn up."),
        this.skipped.length ? button(`Ask the ${counted(this.skipped.length, "skipped one")} again`, again) : null,
      ),
    ];
  }

  asked(question) {
    const [words, sides] = question.kind === "same" ? this.same(question) : this.intruder(question);
    return [
      h("h2", { class: "ask" }, ...words),
      h("div", { class: "sides" }, ...sides),
      h(
        "div",
        { class: "answers" },
        button("Yes", () => this.answer(true), { key: "y", kind: "primary" }),
        button("No", () => this.answer(false), { key: "n" }),
        button("Skip", () => this.skip(), { key: "s", kind: "quiet" }),
      ),
      h(
        "p",
        { class: "note" },
        `similarity ${similarity(question.similarity)}`,
        question.gain >= 0.5 ? ` · about ${counted(Math.round(question.gain), "face")} put right` : "",
      ),
    ];
  }

  same({ a, b }) {
    return [["Are these the same person?"], [this.side(a), this.side(b)]];
  }

  intruder({ face, faces, person, other }) {
    const many = faces?.length > 1;
    const big = h(
      "button",
      { type: "button", class: "side", on: { click: () => openOneImage(face.image_id, face.face_id) } },
      h("img", { class: "big", src: api.faceUrl(face.face_id, 320), alt: "the face in question" }),
      h("span", { class: "caption" }, many ? `this face and ${faces.length - 1} like it` : "this face"),
      h("span", { class: "sub" }, other ? `looks more like ${other.name}` : (face.path?.split("/").at(-1) ?? "")),
    );
    const name = h("span", { class: person.named ? "" : "unnamed" }, person.name);
    return [[many ? "Are these " : "Is this ", name, "?"], [big, this.side(person)]];
  }

  side(person) {
    const faces = h("div", { class: "more-faces" });
    api
      .facesOf(person.person_id, { limit: FACES_SHOWN })
      .then((answer) =>
        faces.append(
          ...answer.faces
            .filter(({ face_id }) => face_id !== person.cover)
            .slice(0, FACES_SHOWN - 1)
            .map(({ face_id }) => h("img", { src: api.faceUrl(face_id), alt: "" })),
        ),
      )
      .catch(complain);
    return h(
      "a",
      { class: "side", href: `#/person/${person.person_id}` },
      h("img", { class: "big", src: api.faceUrl(person.cover, 320), alt: `the face that stands for ${person.name}` }),
      h("span", { class: `caption ${person.named ? "" : "unnamed"}` }, person.name),
      h("span", { class: "sub" }, counted(person.faces, "face")),
      faces,
    );
  }

  /** Each answer is a decision, so that it is not asked again. */
  async answer(yes) {
    const { question } = this;
    if (!question || this.busy) return;
    this.wait(true);
    const answers = await acts.decide([stepOf(question, yes)]);
    this.wait(false);
    if (!answers) return;
    this.answered += 1;
    this.put_right += question.gain ?? 0;
    this.queue = this.queue.filter((each) => each !== question);
    this.show();
  }

  /** A decision takes as long as files have to move. */
  wait(busy) {
    this.busy = busy;
    this.card.classList.toggle("busy", busy);
  }

  skip() {
    if (!this.question) return;
    this.skipped.push(keyOf(this.question));
    this.show();
  }

  back() {
    if (this.skipped.pop() === undefined) return;
    this.show();
  }
}

/** The decision that an answer is. */
export function stepOf(question, yes) {
  if (question.kind === "same") {
    const [less, more] = [question.a, question.b].toSorted((x, y) => x.named - y.named || x.faces - y.faces);
    return yes
      ? ["merge", { person: less.person_id, into: more.person_id }]
      : ["apart", { person: question.a.person_id, other: question.b.person_id }];
  }
  const faces = question.faces ?? [question.face.face_id];
  return yes ? ["assign", { faces, person: question.person.person_id }] : ["reject", { faces }];
}
