// The token, where the library asks for one.

import { askText } from "./dialog.js";

let asking = null; // many requests are refused at once: one question answers them all
let asked = 0;

/** A promise of what somebody typed. */
export function askToken() {
  asking ??= ask().finally(() => (asking = null));
  return asking;
}

async function ask() {
  let token = null;
  while (!token) {
    asked += 1;
    token = await askText("This library asks for a token", {
      label: asked > 1 ? "Token (what was typed before did not open it)" : "Token",
      type: "password",
      yes: "Open",
      note: "The daemon's log says in which file it lies (web.token_file).",
    });
  }
  return token;
}
