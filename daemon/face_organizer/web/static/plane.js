// Where the points of a map are on the screen: screen = (point - centre) * scale + middle.

const STRETCH_MAX = 1.7;
const BORDER_PX = 50;
const CLOSER_MAX = 60;
const CLOSER_MIN = 0.7;

/** Places are {x, y}, in the map's own measure or in px of the screen. */
export class Plane {
  scale = 0;

  /** Show all points on a screen of so many px. */
  fit(points, width, height) {
    Object.assign(this, { width, height });
    const [x1, x2] = span(points.map(({ x }) => x));
    const [y1, y2] = span(points.map(({ y }) => y));
    const room = (from, to, px) => (px - 2 * BORDER_PX) / Math.max(to - from, 1e-6);
    const [across, down] = [room(x1, x2, width), room(y1, y2, height)];
    this.centre = { x: (x1 + x2) / 2, y: (y1 + y2) / 2 };
    // not quite true to scale where the screen is high or wide: the places are for looking
    this.stretch = Math.min(STRETCH_MAX, Math.max(1 / STRETCH_MAX, down / across));
    this.scale = this.widest = Math.min(across, down / this.stretch);
  }

  /** How many times closer than when all was shown. */
  get closeness() {
    return this.scale / this.widest;
  }

  /** Come closer, so that a place of the screen (its middle) stays where it is. */
  zoom(by, at = { x: this.width / 2, y: this.height / 2 }) {
    const before = this.onPlane(at);
    this.scale = this.widest * Math.min(CLOSER_MAX, Math.max(CLOSER_MIN, this.closeness * by));
    const after = this.onPlane(at);
    this.centre = { x: this.centre.x + before.x - after.x, y: this.centre.y + before.y - after.y };
  }

  pan(right_px, down_px) {
    const { x, y } = this.centre;
    this.centre = { x: x - right_px / this.scale, y: y - down_px / (this.scale * this.stretch) };
  }

  onPlane({ x, y }) {
    const { scale, stretch, centre } = this;
    return { x: (x - this.width / 2) / scale + centre.x, y: (y - this.height / 2) / (scale * stretch) + centre.y };
  }

  onScreen({ x, y }) {
    const { scale, stretch, centre } = this;
    return { x: (x - centre.x) * scale + this.width / 2, y: (y - centre.y) * scale * stretch + this.height / 2 };
  }
}

const span = (values) => values.reduce(([least, most], each) => [Math.min(least, each), Math.max(most, each)], [Infinity, -Infinity]);
