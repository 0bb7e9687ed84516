// How far to trust what was sorted: the figures of `report`, and what is wrong or may be, to be put right on the spot.

import * as api from "./api.js";
import * as acts from "./acts.js";
import { button, count, counted, h, similarity, when } from "./dom.js";
import { empty } from "./tiles.js";
import { stepOf } from "./view_review.js";
import { openOneImage } from "./viewer.js";

const FACES_SHOWN = 4;
const CHANGED = ["born", "merged", "split", "vanished", "moved", "joined"];

export function trustView(host) {
  const body = h("div", { class: "sheet trust" }, h("p", { class: "note", role: "status" }, "Looking everything over ..."));
  let shown = "";
  const look = async () => {
    try {
      const report = await api.report();
      if (shown === (shown = JSON.stringify(report))) return; // nothing jumps for nothing
      keepingFocus(body, () => body.replaceChildren(...sections(report)));
    } catch (error) {
      shown = "";
      const message = h("div", { class: "message" });
      empty(message, { error, renew: look }, ["", ""]);
      body.replaceChildren(message);
    }
  };
  host.append(
    h(
      "div",
      { class: "scroll" },
      h(
        "header",
        { class: "head" },
        h("div", { class: "headline" }, h("h1", {}, "Trust")),
        h("div", { class: "controls" }, h("a", { class: "button", href: "#/review" }, "Review one by one")),
      ),
      body,
    ),
  );
  look();
  return { title: "Trust", keys: [], renew: look };
}

/** Whoever answered with the keyboard goes on at the same card, or at the one that took its place. */
function keepingFocus(body, change) {
  const cards = () => [...body.querySelectorAll(".card")];
  const at = cards().findIndex((card) => card.contains(document.activeElement));
  const { key } = cards()[at]?.dataset ?? {};
  change();
  if (at < 0) return;
  const next = cards().find((card) => card.dataset.key === key) ?? cards()[Math.min(at, cards().length - 1)];
  (next?.querySelector(".acts button") ?? document.getElementById("view")).focus();
}

const sections = (report) => [
  figures(report),
  coverage(report),
  section(
    "Surely wrong",
    report.provable_errors,
    report.provable_errors.shown.map(provable),
    "Two faces of one image lie with one person, and nobody is twice in an image (but in mirrors and collages).",
    "Nobody is twice in an image.",
  ),
  section(
    "Likely intruders",
    report.likely_intruders,
    report.likely_intruders.shown.map(intruder),
    `Faces that fit their person badly. About ${counted(Math.round(report.likely_intruders.wrong_faces), "face")} of all may be wrong.`,
    "None that is likely enough to be asked about.",
  ),
  section(
    "Likely the same person",
    report.likely_same,
    report.likely_same.shown.map(same),
    "Pairs that look alike but lie apart. Where all is in order, these are strangers who look alike.",
    "None that is likely enough to be asked about.",
  ),
  changed(report.changes),
];

const percent = (share, digits) => (share === null ? "unknown" : `${(100 * share).toFixed(digits)}%`);

function figures({ counts, coverage: { faces_with_person }, provable_errors, likely_intruders, likely_same, false_merge_rate }) {
  const share = likely_intruders.wrong_faces / Math.max(1, faces_with_person);
  const figure = (value, words, bad = false) => h("div", { class: bad ? "bad" : "" }, h("dd", {}, value), h("dt", {}, words));
  return h(
    "dl",
    { class: "figures" },
    figure(count(counts.persons), "persons"),
    figure(count(counts.faces), `faces in ${counted(counts.images, "image")}`),
    figure(count(provable_errors.total), "provable errors", provable_errors.total > 0),
    figure(percent(share, 1), "of faces likely with the wrong person"),
    figure(count(likely_same.total), "pairs to look at: one person?"),
    figure(percent(false_merge_rate, 2), "of persons fused, as estimated"),
  );
}

function coverage({ counts, coverage: { persons_named, persons_hidden, faces_confirmed } }) {
  const parts = [
    ["with-person", counts.images - counts.outliers - counts.no_face, "images with a person"],
    ["of-nobody", counts.outliers, "with faces of nobody"],
    ["no-face", counts.no_face, "without a face"],
    ["unusable", counts.quarantined, "unusable"],
  ];
  const part = ([kind, number]) => h("span", { class: kind, style: { "flex-grow": number } });
  const told = ([kind, number, words]) => h("li", {}, h("span", { class: `spot ${kind}` }), `${count(number)} ${words}`);
  return h(
    "section",
    { "aria-label": "Coverage" },
    h("h2", {}, "Coverage"),
    h("div", { class: "shares", "aria-hidden": "true" }, ...parts.map(part)),
    h("ul", { class: "legend" }, ...parts.map(told)),
    h(
      "p",
      { class: "note" },
      `${count(persons_named)} of ${counted(counts.persons, "person")} have a name; ${count(faces_confirmed)} of ${counted(counts.faces, "face")}`,
      ` were confirmed by a human; ${counted(persons_hidden, "person is", "persons are")} hidden.`,
    ),
  );
}

function section(title, { total }, cards, words, none) {
  const left = total - cards.length;
  return h(
    "section",
    { "aria-label": title },
    h("h2", {}, total ? `${title} (${count(total)})` : title),
    h("p", { class: "note" }, total ? words : none),
    cards.length ? h("div", { class: "cards" }, ...cards) : null,
    left > 0 ? h("p", { class: "note" }, `and ${counted(left, "more", "more")}`) : null,
  );
}

const card = (key, row, answers) =>
  h("article", { class: "card", data: { key } }, h("div", { class: "row" }, ...row), h("div", { class: "acts" }, ...answers));

const answer = (words, step, label = words) => button(words, () => acts.decide([step]), { "aria-label": label });

const person = ({ person_id, name, named, cover, faces }) =>
  h(
    "a",
    { class: "pictured", href: `#/person/${person_id}` },
    cover ? h("img", { src: api.faceUrl(cover), alt: "" }) : null,
    h("span", { class: `caption ${named ? "" : "unnamed"}` }, name),
    h("span", { class: "sub" }, counted(faces, "face")),
  );

const face = ({ face_id, image_id, path }, words) =>
  h(
    "button",
    {
      type: "button",
      class: "pictured suspect plain",
      title: path ?? "",
      "aria-label": `look at face ${face_id}: ${words}`,
      on: { click: () => openOneImage(image_id, face_id) },
    },
    h("img", { src: api.faceUrl(face_id), alt: "" }),
    h("span", { class: "sub" }, words),
  );

const between = (words, value) => h("span", { class: "between note" }, words, h("br"), similarity(value));

function provable({ image_id, person: who, faces }) {
  const wrong = faces.slice(0, FACES_SHOWN).map((each, at) => {
    const words = `Not the ${at + 1}${["st", "nd", "rd"][at] ?? "th"}`;
    return answer(words, ["reject", { faces: [each.face_id] }], `${words}: face ${each.face_id} is not ${who.name}`);
  });
  const pictures = faces.slice(0, FACES_SHOWN).map((each) => face(each, similarity(each.similarity) || "this one"));
  return card(`provable ${image_id} ${who.person_id}`, [person(who), ...pictures], wrong);
}

function intruder(question) {
  const { face: one, faces, person: who, other, other_similarity } = question;
  const words = `${similarity(question.similarity)}${faces.length > 1 ? `, ${counted(faces.length, "face")}` : ""}`;
  const nearer = other_similarity > question.similarity ? "rather" : "next is";
  return card(
    `intruder ${one.face_id}`,
    [person(who), face(one, words), ...(other ? [between(nearer, other_similarity), person(other)] : [])],
    [answer(`Not ${who.name}`, stepOf(question, false)), answer(`It is ${who.name}`, stepOf(question, true))],
  );
}

function same(question) {
  const { a, b } = question;
  return card(
    `same ${a.person_id} ${b.person_id}`,
    [person(a), between("similarity", question.similarity), person(b)],
    [
      answer("One person", stepOf(question, true), `${a.name} and ${b.name} are one person`),
      answer("Two", stepOf(question, false), `${a.name} and ${b.name} are two`),
    ],
  );
}

function changed({ last_run, new_faces, decisions }) {
  const done = last_run ? CHANGED.filter((key) => last_run[key]).map((key) => `${count(last_run[key])} ${key}`) : [];
  const run = last_run
    ? `Run ${last_run.run_id} (${[last_run.reason, when(last_run.at_s)].filter(Boolean).join(", ")}) changed: ${done.join(", ") || "nothing"}.`
    : "There was no re-clustering yet.";
  return h(
    "section",
    { "aria-label": "What changed" },
    h("h2", {}, "What changed"),
    h("p", {}, h("a", { href: "#/changes/runs" }, run)),
    h(
      "p",
      {},
      `Since then: ${counted(new_faces, "new face")}, `,
      h("a", { href: "#/changes/decisions" }, counted(decisions.length, "decision")),
      ".",
    ),
  );
}
