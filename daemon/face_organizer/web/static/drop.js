// A photo from outside: dropped anywhere, pasted, or picked. It is searched with, and only that: view_search.js asks
// before anything is kept.

import { toast } from "./dialog.js";
import { h } from "./dom.js";

let photo = null;

/** The photo that is searched with, a File, or null. */
export const droppedPhoto = () => photo;

function searchWith(file) {
  if (!file) return;
  // some cameras' formats have no type: let the server judge those
  if (file.type && !file.type.startsWith("image/")) return void toast(`${file.name} is no picture.`, { kind: "error" });
  photo = file;
  if (location.hash.startsWith("#/search")) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = "#/search";
}

/** Let the user pick a file. */
export function pickPhoto() {
  const input = h("input", { type: "file", accept: "image/*,.heic,.heif,.avif", hidden: true });
  input.addEventListener("change", () => {
    searchWith(input.files[0]);
    input.remove();
  });
  input.addEventListener("cancel", () => input.remove());
  document.body.append(input);
  input.click();
}

/** Listen for good. */
export function dropping() {
  const veil = h("div", { class: "veil", hidden: true }, h("p", {}, "Drop the photo: who is in it?"));
  document.body.append(veil);
  const holds = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => holds(event) && (veil.hidden = false));
  document.addEventListener("dragover", (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && (veil.hidden = true));
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!holds(event)) return;
    event.preventDefault();
    searchWith(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => searchWith(event.clipboardData?.files[0]));
}
