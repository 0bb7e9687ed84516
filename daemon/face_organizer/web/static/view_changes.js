// What changed and what would: the proposal that waits, past re-clusterings, decisions. Everything can be taken back.

import * as api from "./api.js";
import * as acts from "./acts.js";
import { complain, confirm, toast } from "./dialog.js";
import { button, counted, h, icon, when } from "./dom.js";
import { empty } from "./tiles.js";
import { tabs } from "./view_unsorted.js";
import { openOneImage } from "./viewer.js";

const TABS = [
  ["", "Proposal"],
  ["runs", "Re-clusterings"],
  ["decisions", "Decisions"],
];
const MOVES_SHOWN = 60;

export function changesView(host, [tab = ""]) {
  const body = h("div", { class: "sheet" });
  const renew = { "": showProposal, runs: showRuns, decisions: showDecisions }[tab] ?? showProposal;
  const look = () => renew(body).catch((error) => body.replaceChildren(sorry(error, look)));
  host.append(
    h(
      "div",
      { class: "scroll" },
      h(
        "header",
        { class: "head" },
        h("div", { class: "headline" }, h("h1", {}, "Changes")),
        h("div", { class: "controls" }, tabs(tab, TABS, "#/changes")),
      ),
      body,
    ),
  );
  look();
  return { title: "Changes", keys: [], renew: look };
}

const sorry = (error, look) => {
  const message = h("div", { class: "message" });
  empty(message, { error, renew: look }, ["", ""]);
  return message;
};

/** Do something with runs, tell of it, and let all views look again. */
async function act(action, run_id, sentence) {
  const clear = toast(action === "propose" || action === "recluster" ? "Looking at all faces again ..." : "At it ...");
  try {
    const answer = await api.act(action, run_id);
    toast(typeof sentence === "function" ? sentence(answer) : sentence);
    acts.changed();
  } catch (error) {
    complain(error);
  } finally {
    clear();
  }
}

const propose = () =>
  act("propose", null, ({ run_id, moves, events }) => {
    if (moves.length + events.length) return "A proposal waits.";
    api.act("dismiss", run_id).then(acts.changed, complain); // what would change nothing need not wait
    return "Nothing would change: all is as it should be.";
  });

// the proposal

async function showProposal(body) {
  const proposal = await api.proposal();
  if (!proposal) {
    body.replaceChildren(
      h(
        "div",
        { class: "message" },
        h("h2", {}, "No proposal waits"),
        h("p", {}, "Looking at all faces again puts right what streaming got wrong. A proposal changes nothing until you apply it."),
        button("Propose", propose, { image: "changes", kind: "primary" }),
      ),
    );
    return;
  }
  const { run_id } = proposal;
  body.replaceChildren(
    h(
      "div",
      { class: "summary" },
      h("p", {}, proposal.why ?? proposal.waits ?? "It was asked for.", h("span", { class: "note" }, ` ${when(proposal.at_s)}`)),
      figures(proposal),
      risk(proposal.at_risk),
      h(
        "div",
        { class: "acts" },
        button("Apply", () => act("apply", run_id, "Applied. It can be rolled back under Re-clusterings."), { kind: "primary", image: "check" }),
        button("Dismiss", () => act("dismiss", run_id, "Dismissed: nothing has changed."), { image: "close" }),
        button("Propose anew", propose, { kind: "quiet" }),
      ),
    ),
    ...moves(proposal.moves ?? []),
  );
}

function figures({ moved, merged, split, born, joined }) {
  const figure = (number, words) => (number ? h("div", {}, h("dd", {}, String(number)), h("dt", {}, words)) : null);
  return h(
    "dl",
    { class: "figures" },
    figure(moved, "faces move"),
    figure(joined, "faces find somebody"),
    figure(merged, "persons merge"),
    figure(split, "persons split"),
    figure(born, "persons appear"),
  );
}

const risk = (losses) =>
  losses?.length
    ? h(
        "ul",
        { class: "risk" },
        ...losses.map(({ name, loses, of }) => h("li", {}, `${name} would lose ${loses} of ${counted(of, "face")}`)),
      )
    : null;

/** Before and after, as pictures: faces on their way from one person to another. */
function moves(all) {
  if (!all.length) return [h("p", { class: "note" }, "No face would move: all is as it should be.")];
  const rows = all.slice(0, MOVES_SHOWN).map((move) =>
    h(
      "div",
      { class: "move" },
      end(move.from, `${counted(move.faces, "face")} of ${move.of || move.faces}`, "before"),
      h("div", { class: "moving" }, ...facesShown(move).map(movingFace), icon("arrow")),
      end(move.to, "", "after"),
    ),
  );
  const left = all.length - rows.length;
  return [
    h("div", { class: "moves-head", "aria-hidden": "true" }, h("span", {}, "Before"), h("span", {}), h("span", {}, "After")),
    ...rows,
    left > 0 ? h("p", { class: "note" }, `and ${counted(left, "more move")}`) : null,
  ].filter(Boolean);
}

const facesShown = (move) =>
  (move.faces_shown ?? move.examples ?? []).map((each) => (typeof each === "number" ? { face_id: each } : each)).slice(0, 5);

const movingFace = ({ face_id }, at) =>
  h(
    "button",
    {
      type: "button",
      class: "plain",
      "aria-label": `look at face ${face_id}`,
      style: { "--at": at },
      on: { click: () => api.face(face_id).then((face) => openOneImage(face.image_id, face_id), complain) },
    },
    h("img", { src: api.faceUrl(face_id), alt: "" }),
  );

function end(person, words, side) {
  if (!person) return h("div", { class: `end ${side}` }, h("span", { class: "avatar new" }, icon("unsorted")), h("span", {}, "nobody"), h("small", {}, words));
  const cover = h("span", { class: "avatar" });
  if (person.person_id) {
    api.person(person.person_id).then(
      ({ cover: face_id }) => face_id && cover.replaceWith(h("img", { class: "avatar", src: api.faceUrl(face_id), alt: "" })),
      () => {},
    );
  } else cover.append("+");
  const name = h(person.person_id ? "a" : "span", { class: person.named ? "" : "unnamed" }, person.name);
  if (person.person_id) name.href = `#/person/${person.person_id}`;
  return h("div", { class: `end ${side}` }, cover, name, h("small", {}, words));
}

// what was

const STATES = {
  proposed: "waits",
  applying: "at it",
  applied: "applied",
  rolled_back: "rolled back",
  replaced: "out of date",
  dismissed: "dismissed",
};

async function showRuns(body) {
  const { runs } = await api.runs({ limit: 100 });
  const rows = runs.map((run) =>
    h(
      "tr",
      {},
      h("td", {}, when(run.at_s)),
      h("td", {}, run.reason),
      h("td", { class: "number" }, String(run.persons)),
      h("td", { class: "number" }, String(run.moved)),
      h("td", {}, h("span", { class: `state-tag ${run.state}` }, STATES[run.state] ?? run.state)),
      h("td", { class: "end-cell" }, run.state === "applied" ? button("Roll back", () => rollBack(run), { image: "undo" }) : null),
    ),
  );
  body.replaceChildren(
    h("div", { class: "acts" }, button("Look at all faces again", () => act("recluster", null, "Done, and applied."), { image: "changes" })),
    table("Re-clusterings", ["When", "Why", "Persons", "Moved", "State", ""], rows),
  );
}

async function rollBack({ run_id }) {
  const sentence = "Faces and files go back to where they were, and what was applied after it goes back too. Decisions stay.";
  if (await confirm(`Roll back run ${run_id}?`, sentence, "Roll back")) await act("rollback", run_id, "Rolled back.");
}

async function showDecisions(body) {
  const { decisions, total } = await api.decisions({ limit: 200 });
  const undone = (each) =>
    h("span", { class: "note" }, each.kind === "undo" && !each.undone_by ? "" : `taken back`);
  const rows = decisions.map((each) =>
    h(
      "tr",
      { class: each.undone_by ? "undone" : "" },
      h("td", {}, when(each.at_s)),
      h("td", {}, each.says),
      h(
        "td",
        { class: "end-cell" },
        each.undone_by
          ? undone(each)
          : button("Undo", () => acts.takeBack(each.decision_id).catch(complain), { image: "undo", "aria-label": `Undo: ${each.says}` }),
      ),
    ),
  );
  body.replaceChildren(
    rows.length
      ? table("Decisions", ["When", "What was said", ""], rows)
      : h("div", { class: "message" }, h("h2", {}, "Nothing was decided yet"), h("p", {}, "Names, merges and corrections are listed here.")),
    total > rows.length ? h("p", { class: "note" }, `and ${total - rows.length} older`) : "",
  );
}

const table = (label, heads, rows) =>
  h(
    "div",
    { class: "table-host", tabIndex: 0, role: "region", "aria-label": label },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...heads.map((words) => (words ? h("th", { scope: "col" }, words) : h("td", {}))))),
      h("tbody", {}, ...rows),
    ),
  );
