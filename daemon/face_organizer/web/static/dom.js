// Elements as expressions. Text is always text: nothing here reads HTML, so no file's name can become code.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. props: `class`, `on` ({event: listener}), `style` ({property: value}), `data`; properties of the element
 * by their own name; what has a dash or is no property becomes an attribute. null, undefined and false are left out.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A picture from icons.svg, for looking only. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

const GONE = "/static/gone.svg";

/** Show in a picture's place that it cannot be had: its file was taken away, or cannot be read any more. */
export function markGone(picture) {
  if (picture.src.endsWith(GONE)) return;
  picture.title = "the picture is gone, or cannot be read";
  picture.src = GONE;
}

/** A button with an icon and words; `key` is shown as what the keyboard has for it. */
export function button(words, run, { key = "", image = "", kind = "", ...props } = {}) {
  const hint = key ? h("kbd", { "aria-hidden": "true" }, key) : null;
  return h(
    "button",
    { type: "button", class: `button ${kind}`, on: { click: run }, "aria-keyshortcuts": key || null, ...props },
    image ? icon(image) : null,
    h("span", {}, words),
    hint,
  );
}

/** A button that is only an icon. */
export function iconButton(words, image, run, props = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": words, title: words, on: { click: run }, ...props },
    icon(image),
  );
}

/** A number as people write it. */
export const count = (number) => number.toLocaleString("en-GB");

/** "1 face", "2,000 faces". */
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A similarity in two digits, without the nought: .83 */
export const similarity = (value) =>
  value === null || value === undefined ? "" : value.toFixed(2).replace(/^(-?)0\./, "$1.");

/** When something was, for people. at_s: seconds since 1970. */
export const when = (at_s) =>
  at_s ? new Date(at_s * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "";
