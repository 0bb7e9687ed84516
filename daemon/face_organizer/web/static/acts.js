// What people decide here, each with its way back.

import * as api from "./api.js";
import { confirm, complain, dialog, askText, toast } from "./dialog.js";
import { button, counted, h } from "./dom.js";
import { askPerson } from "./names.js";

/** "changed" is sent when something was decided or undone, here or elsewhere: views look again. */
export const changes = new EventTarget();

/** Send it. Resolves when the view that is open has looked. */
export function changed() {
  const event = new Event("changed");
  changes.dispatchEvent(event);
  return event.looked;
}

const LOOKED_WITHIN_MS = 1000;

let deciding = false; // a second press of a key, while files still move, would mean faces that have just gone
let looking = false; // and so it would while the view still shows them

/** Run one thing that decides, unless another still does; null then. Meanwhile the page says that it is at it. */
async function alone(run) {
  if (deciding) return null;
  deciding = true;
  document.body.classList.add("deciding");
  try {
    return await run();
  } finally {
    deciding = false;
    document.body.classList.remove("deciding");
  }
}

const undoable = []; // decisions of this page that can be taken back, in groups that were one act: [[id, ...], ...]

/**
 * Decide one or several things as one act: [[kind, values], ...]. Tells of it and offers to undo. Returns the answers,
 * null if one was refused (those before it stand, and can be undone).
 */
export async function decide(steps, sentence = "") {
  const answers = await alone(() => decideAll(steps, sentence));
  if (answers?.length) lookAgain();
  return answers?.length === steps.length ? answers : null;
}

async function lookAgain() {
  looking = true;
  try {
    await Promise.race([changed(), new Promise((resolve) => setTimeout(resolve, LOOKED_WITHIN_MS))]);
  } finally {
    looking = false;
  }
}

async function decideAll(steps, sentence) {
  const answers = [];
  try {
    for (const [kind, values] of steps) answers.push(await api.decide(kind, values));
  } catch (error) {
    complain(error);
  }
  if (answers.length) {
    undoable.push(answers.map(({ decision_id }) => decision_id));
    const says = sentence || answers.map(({ says }) => says).join("; ");
    toast(`${says}.`, { acts: [["Undo", undo, "u"]] });
  }
  return answers;
}

/** Take back what was decided last: here, or else by anybody. */
export async function undo() {
  if (deciding) return;
  const ids = undoable.pop();
  try {
    if (ids) {
      await alone(async () => {
        for (const id of ids.toReversed()) await takeBack(id);
      });
      return;
    }
    const { decisions } = await api.decisions({ limit: 20 });
    const last = decisions.find(({ kind, undone_by }) => kind !== "undo" && !undone_by);
    if (!last) return void toast("There is nothing to take back.");
    if (await confirm("Take back the last decision?", `“${last.says}” was decided before this page was opened.`, "Take it back"))
      await takeBack(last.decision_id);
  } catch (error) {
    complain(error);
  }
}

/** Take one decision back, whichever it is. */
export async function takeBack(decision_id) {
  const answer = await api.decide("undo", { decision_id });
  const gone = answer.missing ? ` Gone from the library, until you put them back: ${answer.missing}.` : "";
  toast(`Taken back: ${answer.says}.${gone}`);
  changed();
}

// faces

export async function reject(faces) {
  if (looking) return null;
  const sentence = faces.length > 1 ? `${counted(faces.length, "face")} will not come back to this person` : "";
  return decide([["reject", { faces: faces.map(({ face_id }) => face_id) }]], sentence);
}

/** Who are these faces? Somebody known, or somebody new. */
export async function assign(faces, exclude = null) {
  if (!faces.length) return null;
  const title = faces.length === 1 ? "This is ..." : `These ${faces.length} faces are ...`;
  const chosen = await askPerson(title, { faces, exclude, allowNew: true });
  if (!chosen) return null;
  const ids = faces.map(({ face_id }) => face_id);
  if (chosen.name) return decide([["found", { faces: ids, name: chosen.name }]]);
  return decide(
    [["assign", { faces: ids, person: chosen.person_id }]],
    `${faces.length === 1 ? "This face is" : `${faces.length} faces are`} ${chosen.called}`,
  );
}

// persons

export async function name(person) {
  const wanted = await askText("Name", {
    label: `Who is ${person.name}?`,
    value: person.named ? person.name : "",
    note: "The person's folder gets this name too.",
  });
  if (!wanted || wanted === person.name) return null;
  try {
    const { people } = await api.people({ everybody: true, query: wanted, limit: 50 });
    const other = people.find((each) => each.person_id !== person.person_id && same(each.name, wanted));
    if (other) return mergeIfOne(person, other);
  } catch {
    // then the decision itself will say what is wrong
  }
  return decide([["name", { person: person.person_id, name: wanted }]]);
}

const same = (one, other) => one.localeCompare(other, undefined, { sensitivity: "accent" }) === 0;

async function mergeIfOne(person, other) {
  const sentence = `Somebody with ${counted(other.faces, "face")} has that name. Are they the same person?`;
  if (!(await confirm(`${other.name} is here already`, sentence, "Merge them"))) return null;
  return decide([["merge", { person: person.person_id, into: other.person_id }]]);
}

/** Several persons are one. The rest become `into`: the named one with the most faces, unless somebody else is chosen. */
export async function merge(persons) {
  if (persons.length === 1) {
    const chosen = await askPerson(`${persons[0].name} is the same person as ...`, { exclude: persons[0].person_id });
    if (!chosen) return null;
    return decide([["merge", { person: persons[0].person_id, into: chosen.person_id }]]);
  }
  const order = persons.toSorted((one, other) => other.named - one.named || other.faces - one.faces);
  const into = await dialog(`Merge ${persons.length} persons`, (close) => [
    h("p", {}, "Which one do the others become? All their faces count as confirmed then."),
    h("div", { class: "choices" }, ...order.map((each, at) => personButton(each, () => close(each), at === 0))),
  ]);
  if (!into) return null;
  const steps = order
    .filter(({ person_id }) => person_id !== into.person_id)
    .map(({ person_id }) => ["merge", { person: person_id, into: into.person_id }]);
  return decide(steps, steps.length > 1 ? `${steps.length} persons are the same as ${into.name}` : "");
}

/** A person to choose, with the face. */
export const personButton = (person, run, autofocus = false) =>
  h(
    "button",
    { type: "button", class: "person-button", on: { click: run }, autofocus },
    h("img", { class: "avatar", src: api.faceUrl(person.cover), alt: "", draggable: false }),
    h("span", { class: person.named ? "" : "unnamed" }, person.name),
    h("small", {}, counted(person.faces, "face")),
  );

export async function split(person) {
  const as_many_as_appear = 0;
  const parts = await dialog(`Split ${person.name}`, (close) => [
    h("p", {}, "Into how many people? Each becomes a person of their own; the largest part keeps the name."),
    h(
      "footer",
      { class: "numbers" },
      button("As many as appear", () => close(as_many_as_appear), { kind: "primary", autofocus: true }),
      ...[2, 3, 4, 5].map((number) => button(String(number), () => close(number))),
    ),
  ]);
  if (parts === null) return null;
  return decide([["split", { person: person.person_id, ...(parts ? { parts } : {}) }]]);
}

export const hide = (persons) =>
  decide(
    persons.map(({ person_id, hidden }) => [hidden ? "unhide" : "hide", { person: person_id }]),
    persons.length > 1 ? `${persons.length} persons are ${persons[0].hidden ? "shown" : "hidden"}` : "",
  );
