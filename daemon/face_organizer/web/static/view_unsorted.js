// What belongs to nobody: faces of nobody, images without a face, files that could not be read.

import * as api from "./api.js";
import * as acts from "./acts.js";
import { button, counted, h, icon } from "./dom.js";
import { Grid } from "./grid.js";
import { GRID_KEYS } from "./keys.js";
import { Pages } from "./pages.js";
import { empty, faceWords, selectionBar, square } from "./tiles.js";
import { openImage } from "./viewer.js";

const TABS = [
  ["", "Faces of nobody"],
  ["no-face", "No face"],
  ["unreadable", "Unreadable"],
];

const KINDS = {
  "": {
    load: async (values) => {
      const { total, faces } = await api.outliers(values);
      return { total, rows: faces };
    },
    keyOf: ({ face_id }) => face_id,
    cell: (face) => [square(face.face_id)],
    describe: faceWords,
    nothing: ["Everybody has found somebody", "Faces that nobody else looks like (yet) are shown here."],
    label: "Faces of nobody",
    one: "face",
  },
  "no-face": {
    load: async (values) => {
      const { total, images } = await api.noFace(values);
      return { total, rows: images };
    },
    keyOf: ({ image_id }) => image_id,
    cell: ({ image_id }) => [
      h("div", { class: "square" }, h("img", { src: api.imageUrl(image_id, 320), alt: "", draggable: false })),
    ],
    describe: ({ path, image_id }) => path ?? `image ${image_id}`,
    nothing: ["Every image shows a face", "Images without a usable face are shown here."],
    label: "Images without a face",
    one: "image",
  },
  unreadable: {
    load: async (values) => {
      const { total, files } = await api.quarantine(values);
      return { total, rows: files };
    },
    keyOf: ({ file_id }) => file_id,
    cell: (file) => [
      h("div", { class: "square broken" }, icon("no"), h("span", {}, file.reason)),
      h("span", { class: "caption" }, file.path.split("/").at(-1)),
    ],
    describe: (file) => `${file.path.split("/").at(-1)}: ${file.reason}`,
    nothing: ["Everything could be read", "Files that are damaged or no pictures are shown here, with the reason."],
    label: "Files that could not be read",
    one: "file",
    wide: true,
  },
};

export function unsortedView(host, [tab = ""], { bar, restore_px }) {
  const kind = KINDS[tab] ?? KINDS[""];
  const isFaces = kind === KINDS[""];
  const pages = new Pages((offset, limit) => kind.load({ offset, limit }));
  const count = h("span", { class: "count" });
  const head = h(
    "header",
    { class: "head" },
    h("div", { class: "headline" }, h("h1", {}, "Unsorted"), count),
    h("div", { class: "controls" }, tabs(tab)),
  );
  const message = h("div", { class: "message" });
  const scroll = h("div", { class: "scroll" }, head, message);
  host.append(scroll);
  const grid = new Grid({
    scroller: scroll,
    pages,
    label: kind.label,
    sideMin_px: kind.wide ? 180 : 112,
    below_px: kind.wide ? 24 : 0,
    keyOf: kind.keyOf,
    cell: kind.cell,
    describe: kind.describe,
    open: (row, index) => row.image_id && openImage(pages, index),
    chosen: () => showBar(),
  });
  scroll.append(grid.host);
  grid.arrived = () => {
    count.textContent = pages.loaded ? counted(pages.total, kind.one) : "";
    empty(message, pages, kind.nothing);
    if (restore_px && pages.loaded) {
      scroll.scrollTop = restore_px;
      restore_px = 0;
    }
  };
  const assign = async () => {
    if (isFaces && (await acts.assign(grid.choice.targets()))) grid.choice.clear();
  };
  const showBar = () =>
    selectionBar(bar, grid, kind.one, `${kind.one}s`, [
      isFaces ? button("This is ...", assign, { key: "t", image: "people" }) : null,
    ]);
  pages.renew();
  return {
    title: "Unsorted",
    keys: isFaces ? [{ key: "t", words: "this is ... (somebody here, or somebody new)", run: assign }] : [],
    told: GRID_KEYS,
    renew: () => pages.renew(),
    close: () => grid.destroy(),
  };
}

export const tabs = (current, all = TABS, base = "#/unsorted") =>
  h(
    "nav",
    { class: "segments", "aria-label": "Kinds" },
    ...all.map(([name, words]) =>
      h(
        "a",
        { class: "segment", href: name ? `${base}/${name}` : base, "aria-current": name === current ? "page" : null },
        words,
      ),
    ),
  );
