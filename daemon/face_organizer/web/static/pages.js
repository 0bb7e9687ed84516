// A long list that is fetched where it is looked at.

const SIZE = 200;

/**
 * Rows by index, loaded a page at a time. load(offset, limit) is a promise of {total, rows}; changed() is called whenever
 * there is more to see. Rows of before renew() stay until the new ones have come: nothing flickers.
 */
export class Pages {
  constructor(load, changed = () => {}) {
    this.load = load;
    this.changed = changed;
    this.total = 0;
    this.error = null;
    this.loaded = false;
    this.rows = new Map();
    this.asked = new Map();
    this.age = 0;
  }

  /** The row at an index; undefined while it is on its way. */
  at(index) {
    if (!this.asked.has(Math.floor(index / SIZE))) this.fetch(Math.floor(index / SIZE));
    return this.rows.get(index);
  }

  /** The row at an index if it is there; asks for nothing. */
  peek(index) {
    return this.rows.get(index);
  }

  /** The index of the first row that is there and passes a test, -1 if none does. */
  find(passes) {
    for (const [index, row] of this.rows) if (passes(row)) return index;
    return -1;
  }

  /** All rows from first to last, fetched if they must be. */
  async range(first, last) {
    const pages = [];
    for (let page = Math.floor(first / SIZE); page * SIZE <= last; page += 1) pages.push(this.fetch(page));
    await Promise.all(pages);
    const found = [];
    for (let index = first; index <= last; index += 1) if (this.rows.has(index)) found.push(this.rows.get(index));
    return found;
  }

  /** Look again: pages are asked for anew as they are looked at. Resolves when the first one is there. */
  renew() {
    this.age += 1;
    this.asked.clear();
    this.error = null;
    return this.fetch(0);
  }

  fetch(page) {
    if (!this.asked.has(page)) this.asked.set(page, this.fill(page, this.age));
    return this.asked.get(page);
  }

  async fill(page, age) {
    try {
      const { total, rows } = await this.load(page * SIZE, SIZE);
      if (age !== this.age) return this.fetch(page);
      this.total = total;
      for (let at = 0; at < SIZE; at += 1) {
        if (at < rows.length) this.rows.set(page * SIZE + at, rows[at]);
        else this.rows.delete(page * SIZE + at);
      }
      for (const index of this.rows.keys()) if (index >= total) this.rows.delete(index);
      this.loaded = true;
    } catch (error) {
      if (age !== this.age) return this.fetch(page);
      this.error = error;
    }
    this.changed();
  }
}
