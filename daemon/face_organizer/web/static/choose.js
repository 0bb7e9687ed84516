// What is selected in a grid, and where the keyboard is: arrows, Home, End, Page, Space, Shift, Ctrl+A, Enter, Escape.

/** Keys of rows that are selected, with the rows; and the active index. One for each Grid. */
export class Choice {
  constructor(grid) {
    this.grid = grid;
    this.rows = new Map();
    this.active = -1;
    this.key_of_active = null;
    this.anchor = 0;
  }

  get size() {
    return this.rows.size;
  }

  has(row) {
    return this.rows.has(this.grid.keyOf(row));
  }

  /** What an action means: all that is selected, else the one where the keyboard is. */
  targets() {
    if (this.rows.size) return [...this.rows.values()];
    const row = this.active >= 0 ? this.grid.pages.peek(this.active) : undefined;
    return row === undefined ? [] : [row];
  }

  clear() {
    this.rows.clear();
    this.tell();
  }

  toggle(index) {
    const row = this.grid.pages.peek(index);
    if (row === undefined) return;
    const key = this.grid.keyOf(row);
    if (!this.rows.delete(key)) this.rows.set(key, row);
    this.anchor = index;
    this.tell();
  }

  /** From the anchor to an index, in place of what was selected (or beside `kept`). */
  async extend(index, kept = new Map()) {
    const [first, last] = [Math.min(this.anchor, index), Math.max(this.anchor, index)];
    await this.select(await this.grid.pages.range(first, last), kept);
  }

  select(rows, kept = new Map()) {
    this.rows = new Map([...kept, ...rows.map((row) => [this.grid.keyOf(row), row])]);
    this.tell();
  }

  async all() {
    this.anchor = 0;
    await this.extend(this.grid.pages.total - 1);
  }

  tell() {
    this.grid.draw();
    this.grid.chosen();
  }

  /** The list has changed: the keyboard stays with its row, wherever that is now; of one that is gone, at its place. */
  settle() {
    const { pages, keyOf } = this.grid;
    const here = pages.peek(this.active);
    if (this.key_of_active !== null && (here === undefined || keyOf(here) !== this.key_of_active)) {
      const moved = pages.find((row) => keyOf(row) === this.key_of_active);
      if (moved >= 0) this.active = moved;
    }
    this.active = Math.min(this.active, pages.total - 1);
    this.remember();
    this.point();
  }

  remember() {
    const row = this.active >= 0 ? this.grid.pages.peek(this.active) : undefined;
    this.key_of_active = row === undefined ? null : this.grid.keyOf(row);
  }

  focused() {
    if (this.active < 0 && this.grid.pages.total) this.go(0);
  }

  go(index) {
    const { grid } = this;
    this.active = Math.max(0, Math.min(grid.pages.total - 1, index));
    grid.scrollTo(this.active);
    grid.draw();
    this.remember();
    this.point();
  }

  point() {
    if (this.active >= 0 && this.grid.cells.has(this.active)) {
      this.grid.host.setAttribute("aria-activedescendant", `${this.grid.id}-${this.active}`);
    } else this.grid.host.removeAttribute("aria-activedescendant");
  }

  step(name) {
    const { columns, pages, row_px, scroller } = this.grid;
    const page = columns * Math.max(1, Math.floor(scroller.clientHeight / row_px) - 1);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page };
    if (name === "Home") return 0;
    if (name === "End") return pages.total - 1;
    if (!(name in steps)) return null;
    const wanted = this.active + steps[name];
    return Math.abs(steps[name]) === columns && (wanted < 0 || wanted >= pages.total) ? this.active : wanted;
  }

  key(event) {
    if (event.altKey || event.defaultPrevented || event.target !== this.grid.host) return;
    const to = event.ctrlKey || event.metaKey ? null : this.step(event.key);
    if (to !== null) {
      if (event.shiftKey && !this.rows.size) this.anchor = Math.max(0, this.active);
      this.go(to);
      if (event.shiftKey) this.extend(this.active);
    } else if (event.key === " ") this.toggle(this.active);
    else if (event.key === "Enter" && this.active >= 0) this.opened(this.active);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) this.all();
    else if (event.key === "Escape" && this.rows.size) this.clear();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  opened(index) {
    const row = this.grid.pages.peek(index);
    if (row !== undefined) this.grid.open(row, index);
  }
}
