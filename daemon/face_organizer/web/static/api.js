// All talk with the server, and nothing else: paths, headers, the token, errors as sentences.

/** What the server (or the way to it) answered instead; its message is a sentence for people. */
export class ApiError extends Error {
  constructor(sentence, status = 0) {
    super(sentence);
    this.status = status;
  }

  /** Nobody answered: the daemon is away. */
  get isAway() {
    return this.status === 0;
  }
}

const hooks = { token: null, reached: () => {} };

/** askToken(): a promise of a token, asked for after a 401. reached(yes): after each answer, did anybody answer? */
export function onAnswers({ askToken, reached }) {
  hooks.token = askToken;
  hooks.reached = reached;
}

/** Change a token for a cookie of this browser session: pictures and events cannot carry a header. */
async function openSession(token) {
  const headers = { Authorization: `Bearer ${token}`, "X-Face-Organizer": "1", "Content-Type": "application/json" };
  await reach("/api/session", { method: "POST", headers, body: JSON.stringify({ token }) });
}

function sentenceOf(answer, status) {
  const said = answer?.error ?? answer?.detail ?? answer?.message;
  if (Array.isArray(said)) return said.map((each) => each.msg ?? String(each)).join("; ");
  return typeof said === "string" && said ? said : `The server answered ${status}, without saying why.`;
}

async function reach(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    hooks.reached(false);
    throw new ApiError("The daemon cannot be reached. Is it running?");
  }
}

async function ask(path, options = {}) {
  const headers = { Accept: "application/json", "X-Face-Organizer": "1", ...options.headers };
  const answer = await reach(path, { ...options, headers });
  hooks.reached(true);
  if (answer.status === 401 && hooks.token) {
    await openSession(await hooks.token());
    return ask(path, options);
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(sentenceOf(body, answer.status), answer.status);
  return body;
}

const query = (values) => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "" && value !== false);
  return given.length ? `?${new URLSearchParams(given)}` : "";
};
const get = (path, values = {}, options = {}) => ask(`/api/${path}${query(values)}`, options);
const post = (path, body) =>
  ask(`/api/${path}`, {
    method: "POST",
    body: body instanceof FormData ? body : JSON.stringify(body),
    headers: body instanceof FormData ? {} : { "Content-Type": "application/json" },
  });

const form = (values) => {
  const filled = new FormData();
  for (const [name, value] of Object.entries(values)) {
    if (value instanceof Blob) filled.append(name, value, value.name ?? "photo.jpg");
    else if (value !== undefined && value !== "") filled.append(name, value);
  }
  return filled;
};

export const status = () => get("status");
export const people = (values, options) => get("people", values, options);
export const person = (id) => get(`people/${id}`);
export const facesOf = (id, values) => get(`people/${id}/faces`, values);
export const outliers = (values) => get("outliers", values);
export const noFace = (values) => get("no_face", values);
export const quarantine = (values) => get("quarantine", values);
export const face = (id) => get(`faces/${id}`);
export const image = (id) => get(`images/${id}`);
export const decisions = (values) => get("decisions", values);
export const decide = (kind, values) => post("decisions", { kind, ...values });
export const runs = (values) => get("runs", values);
export const act = (action, run_id) => post("runs", run_id ? { action, run_id } : { action });
export const proposal = () => get("proposal");
export const review = (limit) => get("review", { limit });
export const map = () => get("map");
export const report = () => get("report");
export const look = (photo) => post("look", form({ photo }));
export const search = (photo, values) => post("search", form({ photos: photo, ...values }));
export const enrol = (photo) => post("images", form({ image: photo }));

/** Where pictures are. Twice the pixels where the screen has them; two sizes only, so that the server's cache stays small. */
export const faceUrl = (id, side = 160) =>
  `/api/faces/${id}/thumbnail?side=${side * (window.devicePixelRatio > 1.25 ? 2 : 1)}`;
export const imageUrl = (id, side = 1024) => `/api/images/${id}/thumbnail?side=${side}`;
export const fileUrl = (id) => `/api/images/${id}/file`;
export const EVENTS = "/api/events";
