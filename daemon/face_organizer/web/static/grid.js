// A grid of any length: only the cells in sight exist. What is selected, and where the keyboard is, is choose.js.

import { Choice } from "./choose.js";
import { h } from "./dom.js";
import { pointing } from "./pointing.js";

const OVERSCAN_PX = 500;
const HEIGHT_MAX_PX = 8_000_000; // browsers lose count of pixels not far beyond
const NARROW_PX = 500; // a phone: smaller cells, so that there are three in a row
const NARROW_SIDE_PX = 96;

/**
 * A listbox laid out as a grid. Options:
 *   scroller    the element that scrolls; the grid lies in it
 *   pages       Pages; its `changed` is taken over
 *   label       what the list is called
 *   keyOf(row)  what tells one row from another for ever
 *   cell(row)   [nodes] of one cell; describe(row): the same in words
 *   sideMin_px  the least width of a cell; below_px: what it needs below its square
 *   open(row, index), chosen(): called when a cell is opened, and when the choice has changed
 */
export class Grid {
  constructor(options) {
    Object.assign(this, { sideMin_px: 132, below_px: 0, gap_px: 12, open: () => {}, chosen: () => {} }, options);
    this.cells = new Map();
    this.columns = 1;
    this.host = h("div", { class: "grid", role: "listbox", tabIndex: 0, "aria-multiselectable": "true" });
    this.host.setAttribute("aria-label", this.label);
    this.id = `grid${(Grid.made = (Grid.made ?? 0) + 1)}`;
    this.choice = new Choice(this);
    this.pages.changed = () => this.refresh();
    this.watchers = new AbortController();
    const { signal } = this.watchers;
    this.scroller.addEventListener("scroll", () => this.soon(), { passive: true, signal });
    this.host.addEventListener("keydown", (event) => this.choice.key(event), { signal });
    this.host.addEventListener("focus", () => this.choice.focused(), { signal });
    pointing(this, signal);
    this.resized = new ResizeObserver(() => this.measure());
    this.resized.observe(this.host);
    this.resized.observe(this.scroller);
  }

  destroy() {
    this.watchers.abort();
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
  }

  // where everything is

  measure() {
    const width = this.host.clientWidth;
    if (!width) return;
    const sideMin_px = width < NARROW_PX ? Math.min(this.sideMin_px, NARROW_SIDE_PX) : this.sideMin_px;
    this.columns = Math.max(2, Math.floor((width + this.gap_px) / (sideMin_px + this.gap_px)));
    this.side_px = (width - this.gap_px * (this.columns - 1)) / this.columns;
    this.row_px = this.side_px + this.below_px + this.gap_px;
    this.refresh();
  }

  get height_px() {
    return Math.ceil(this.pages.total / this.columns) * this.row_px;
  }

  /** How far the grid is scrolled, in its own px, as if it could be as high as it would have to be. */
  get view() {
    const shown_px = this.scroller.clientHeight;
    const real = this.scroller.scrollTop - this.host.offsetTop;
    const room = Math.min(this.height_px, HEIGHT_MAX_PX) - shown_px;
    const squeezed = this.height_px > HEIGHT_MAX_PX;
    const top = squeezed ? (Math.max(0, real) * (this.height_px - shown_px)) / room : real;
    return { top, real, shown_px, squeezed };
  }

  box(index) {
    const { top, real, squeezed } = this.view;
    const row = Math.floor(index / this.columns);
    return {
      x: (index % this.columns) * (this.side_px + this.gap_px),
      y: row * this.row_px + (squeezed ? real - top : 0),
    };
  }

  /** The index at a point of the grid, px from its corner; the nearest if between or beyond. */
  indexAt(x, y) {
    const { top, real, squeezed } = this.view;
    const column = Math.min(this.columns - 1, Math.max(0, Math.floor(x / (this.side_px + this.gap_px))));
    const row = Math.max(0, Math.floor((y - (squeezed ? real - top : 0)) / this.row_px));
    return Math.min(this.pages.total - 1, row * this.columns + column);
  }

  scrollTo(index) {
    if (!this.row_px) return;
    const { top, shown_px, squeezed } = this.view;
    const y = Math.floor(index / this.columns) * this.row_px;
    const head_px = this.scroller.querySelector(".head")?.offsetHeight ?? 0;
    let wanted = top;
    if (y < top + head_px) wanted = y - head_px - this.gap_px;
    else if (y + this.row_px > top + shown_px) wanted = y + this.row_px - shown_px + this.gap_px;
    if (wanted === top) return;
    const room = (HEIGHT_MAX_PX - shown_px) / (this.height_px - shown_px);
    this.scroller.scrollTop = this.host.offsetTop + (squeezed ? wanted * room : wanted);
    this.draw();
  }

  // what is in sight

  soon() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  refresh() {
    if (!this.row_px) return;
    this.host.style.setProperty("height", `${Math.min(this.height_px, HEIGHT_MAX_PX)}px`);
    this.choice.settle();
    this.draw();
    this.arrived?.();
  }

  draw() {
    if (!this.row_px) return;
    const { top, shown_px } = this.view;
    const first = Math.max(0, Math.floor((top - OVERSCAN_PX) / this.row_px)) * this.columns;
    const last = Math.min(
      this.pages.total,
      Math.ceil((top + shown_px + OVERSCAN_PX) / this.row_px) * this.columns,
    );
    for (const [index, cell] of this.cells) {
      if (index < first || index >= last) {
        const picture = cell.node.querySelector("img");
        if (picture && !picture.complete) picture.removeAttribute("src"); // nobody waits for it any more
        cell.node.remove();
        this.cells.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) this.drawCell(index);
  }

  drawCell(index) {
    const row = this.pages.at(index);
    let cell = this.cells.get(index);
    if (!cell) {
      cell = { node: h("div", { class: "cell", role: "option", id: `${this.id}-${index}`, "aria-posinset": index + 1 }) };
      this.host.append(cell.node);
      this.cells.set(index, cell);
    }
    if (cell.row !== row || !cell.filled) this.fillCell(cell, row);
    const { x, y } = this.box(index);
    const place = `translate(${x}px, ${y}px)`;
    if (cell.place !== place || cell.side_px !== this.side_px) {
      cell.node.style.setProperty("transform", place);
      cell.node.style.setProperty("width", `${this.side_px}px`);
      Object.assign(cell, { place, side_px: this.side_px });
    }
    const selected = row !== undefined && this.choice.has(row);
    const active = index === this.choice.active;
    const { total } = this.pages;
    if (cell.total === total && cell.selected === selected && cell.active === active) return;
    Object.assign(cell, { total, selected, active });
    cell.node.setAttribute("aria-setsize", total);
    cell.node.setAttribute("aria-selected", selected);
    cell.node.classList.toggle("active", active);
  }

  fillCell(cell, row) {
    // the same picture again stays: only what says something else is made anew
    const nodes = row === undefined ? [h("div", { class: "square waiting" })] : this.cell(row);
    const before = cell.node.querySelector("img");
    const after = nodes[0]?.querySelector?.("img");
    if (before && after && before.src === after.src) after.replaceWith(before);
    cell.node.replaceChildren(...nodes);
    cell.node.setAttribute("aria-label", row === undefined ? "on its way" : this.describe(row));
    Object.assign(cell, { row, filled: true });
  }
}
