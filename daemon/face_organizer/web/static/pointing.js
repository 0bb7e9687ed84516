// Mouse and fingers on a grid. Mouse: click opens, Ctrl and Shift select, dragging draws a rectangle around many.
// Finger: a tap opens, a long press selects, and goes on selecting while it moves. Once something is selected, a click
// or a tap adds and takes away.

import { h } from "./dom.js";

const DRAG_PX = 6;
const PRESS_MS = 420;
const EDGE_PX = 48;

/** Listen on a grid until the signal aborts. */
export function pointing(grid, signal) {
  const at = (event) => {
    const frame = grid.host.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  };
  const indexOf = (node) => Number(node?.closest?.(".cell")?.getAttribute("aria-posinset") ?? 0) - 1;
  const state = { dragged: false, press: 0 };

  grid.host.addEventListener("click", (event) => clicked(grid, event, indexOf(event.target), state), { signal });
  grid.host.addEventListener(
    "pointerdown",
    (event) => {
      state.dragged = false;
      if (event.button !== 0) return;
      if (event.pointerType === "touch") pressed(grid, event, indexOf(event.target), state, at);
      else if (event.pointerType === "mouse") dragged(grid, event, state, at);
    },
    { signal },
  );
  grid.host.addEventListener("contextmenu", (event) => state.sweeping && event.preventDefault(), { signal });
}

function clicked(grid, event, index, state) {
  if (state.dragged || index < 0) return;
  const { choice } = grid;
  const ticked = event.target.closest(".tick");
  choice.active = index;
  choice.remember();
  if (event.shiftKey) choice.extend(index);
  else if (ticked || event.ctrlKey || event.metaKey || choice.size) choice.toggle(index);
  else choice.opened(index);
  grid.draw();
}

/** Scrolls while the pointer is near an edge. Returns how to stop. */
function scrolling(grid, position, moved) {
  let frame = 0;
  const step = () => {
    const { top, bottom } = grid.scroller.getBoundingClientRect();
    const by = Math.max(0, position.clientY - (bottom - EDGE_PX)) - Math.max(0, top + EDGE_PX - position.clientY);
    if (by) {
      grid.scroller.scrollTop += by / 3;
      moved();
    }
    frame = requestAnimationFrame(step);
  };
  frame = requestAnimationFrame(step);
  return () => cancelAnimationFrame(frame);
}

function until(signal, ended) {
  for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, ended, { signal });
}

function dragged(grid, down, state, at) {
  const start = at(down);
  const kept = down.ctrlKey || down.metaKey || down.shiftKey ? new Map(grid.choice.rows) : new Map();
  const ends = new AbortController();
  const band = h("div", { class: "band" });
  let last = down;
  let stopScrolling = () => {};

  const draw = () => {
    const now = at(last);
    const [x1, x2] = [Math.min(start.x, now.x), Math.max(start.x, now.x)];
    const [y1, y2] = [Math.min(start.y, now.y), Math.max(start.y, now.y)];
    band.style.setProperty("transform", `translate(${x1}px, ${y1}px)`);
    band.style.setProperty("width", `${x2 - x1}px`);
    band.style.setProperty("height", `${y2 - y1}px`);
    grid.choice.select(within(grid, x1, y1, x2, y2), kept);
  };
  const move = (event) => {
    last = event;
    const now = at(event);
    if (!state.dragged && Math.hypot(now.x - start.x, now.y - start.y) < DRAG_PX) return;
    if (!state.dragged) {
      state.dragged = true;
      grid.host.append(band);
      stopScrolling = scrolling(grid, { get clientY() { return last.clientY; } }, draw);
    }
    draw();
  };
  window.addEventListener("pointermove", move, { signal: ends.signal });
  until(ends.signal, () => {
    ends.abort();
    stopScrolling();
    band.remove();
  });
}

/** The rows whose squares a rectangle touches. */
function within(grid, x1, y1, x2, y2) {
  const step = grid.side_px + grid.gap_px;
  const found = [];
  for (let index = grid.indexAt(0, y1); index <= grid.indexAt(Infinity, y2); index += 1) {
    const { x, y } = grid.box(index);
    const row = grid.pages.peek(index);
    const touches = x < x2 && x + step - grid.gap_px > x1 && y < y2 && y + grid.row_px - grid.gap_px > y1;
    if (row !== undefined && touches) found.push(row);
  }
  return found;
}

function pressed(grid, down, index, state, at) {
  if (index < 0) return;
  const ends = new AbortController();
  let last = down;
  let stopScrolling = () => {};
  const sweep = () => {
    const { x, y } = at(last);
    grid.choice.extend(grid.indexAt(x, y), state.kept);
  };
  const timer = setTimeout(() => {
    state.dragged = state.sweeping = true;
    state.kept = new Map(grid.choice.rows);
    grid.choice.toggle(index);
    navigator.vibrate?.(12);
    stopScrolling = scrolling(grid, { get clientY() { return last.clientY; } }, sweep);
  }, PRESS_MS);
  const stop = () => {
    clearTimeout(timer);
    stopScrolling();
    state.sweeping = false;
    ends.abort();
  };
  const options = { signal: ends.signal };
  window.addEventListener(
    "pointermove",
    (event) => {
      last = event;
      if (state.sweeping) sweep();
      else if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > DRAG_PX) stop();
    },
    options,
  );
  // a finger that sweeps must not scroll: only this listener may say so
  window.addEventListener("touchmove", (event) => state.sweeping && event.preventDefault(), { ...options, passive: false });
  until(ends.signal, stop);
}
