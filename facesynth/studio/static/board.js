// The board: shows a document, and turns what pens, fingers, mice and keys do on it into strokes, areas and moves.
//
// It changes nothing by itself: a stroke under way is shown through ``live``, and what is done is handed to ``done``.

import { palette } from "./classes.js";
import {
  SIDE,
  addMirrored,
  addPoint,
  everywhere,
  fill,
  fillPolygon,
  joined,
  layOnMap,
  layOnSketch,
  movedPixels,
  movedStroke,
  nowhere,
  sketchOf,
} from "./raster.js";

const STEADY = 0.55; // how much of the way to a new point a sketch's line goes: the rest is the hand's tremor
const PALM = 45; // px: a wider touch is no finger
const CLOSE = 12; // px of the document within which a polygon's first corner closes it
const MOST_ZOOM = 8;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const STROKES = ["pencil", "brush", "eraser"];

export class Board {
  // ``settings`` holds what the tools' controls say; the board only reads it.
  constructor(root, settings, { live, done, pick, say }) {
    Object.assign(this, { root, settings, live, done, pick, say });
    this.sheet = root.querySelector(".sheet");
    this.canvas = root.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(SIDE, SIDE);
    this.words = new Uint32Array(this.image.data.buffer);
    this.outline = root.querySelector(".outline");
    this.cross = root.querySelector(".cross");
    this.axis = root.querySelector(".axis");
    this.tip = root.querySelector(".tip");
    this.cover = new Uint8Array(SIDE * SIDE);
    this.mirrorCover = new Uint8Array(SIDE * SIDE);
    this.view = { x: 0, y: 0, scale: 1 };
    this.touches = new Map();
    this.corners = [];
    this.cursor = { x: SIDE / 2, y: SIDE / 2 };
    this.isPen = false;
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel"])
      root.addEventListener(name, (event) => this[name](event));
    root.addEventListener("pointerleave", () => this.showTip(null));
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    root.addEventListener("keydown", (event) => this.keydown(event));
    root.addEventListener("dblclick", () => this.closePolygon());
    root.addEventListener("contextmenu", (event) => event.preventDefault());
    root.addEventListener("focus", () => this.showCursor());
    root.addEventListener("blur", () => {
      if (this.keyed) this.endStroke();
      this.showCursor();
    });
  }

  // ------------------------------------------------------------------------------------------------------------- showing

  // The document: {kind, pixels, base and strokes of a sketch, scheme of a map}.
  show(document) {
    this.document = document;
    this.colours = document.kind === "map" ? palette(document.scheme, this.settings.patterns) : null;
    this.paint(document.pixels, everywhere());
    this.showCursor();
  }

  paint(pixels, box) {
    if (box.left >= box.right || box.top >= box.bottom) return;
    const turn = this.settings.dark ? 255 : 0;
    for (let y = box.top; y < box.bottom; y++) {
      for (let at = y * SIDE + box.left, end = y * SIDE + box.right; at < end; at++) {
        const value = pixels[at];
        this.words[at] = this.colours
          ? this.colours[value][(y % 8) * 8 + (at % 8)]
          : 0xff000000 | ((value ^ turn) * 0x10101);
      }
    }
    this.context.putImageData(this.image, 0, 0, box.left, box.top, box.right - box.left, box.bottom - box.top);
  }

  showCursor() {
    const { x, y } = this.cursor;
    this.cross.setAttribute("transform", `translate(${x} ${y})`);
    this.cross.toggleAttribute("hidden", !this.root.matches(":focus-visible"));
    this.cross.classList.toggle("down", Boolean(this.keyed));
    this.axis.toggleAttribute("hidden", !this.settings.symmetric);
    const points = this.corners.concat(this.corners.length && this.hover ? [this.hover] : []);
    this.outline.setAttribute("points", points.map((each) => each.join(",")).join(" "));
  }

  showTip(point) {
    const isShown = point && STROKES.includes(this.settings.tool);
    this.tip.toggleAttribute("hidden", !isShown);
    if (!isShown) return;
    this.tip.setAttribute("cx", point[0]);
    this.tip.setAttribute("cy", point[1]);
    this.tip.setAttribute("r", Math.max(1, this.radius));
  }

  get radius() {
    const { tool, sizes } = this.settings;
    return (sizes[tool] ?? 2) / 2;
  }

  zoom(factor, x = SIDE / 2, y = SIDE / 2) {
    const scale = clamp(this.view.scale * factor, 1, MOST_ZOOM);
    const shift = (at, from) => clamp(from + at * (this.view.scale - scale), SIDE - SIDE * scale, 0);
    this.view = { scale, x: shift(x, this.view.x), y: shift(y, this.view.y) };
    this.place();
  }

  pan(dx, dy) {
    const { scale, x, y } = this.view;
    const least = SIDE - SIDE * scale;
    this.view = { scale, x: clamp(x + dx, least, 0), y: clamp(y + dy, least, 0) };
    this.place();
  }

  place() {
    const { x, y, scale } = this.view;
    this.sheet.style.transform = `translate(${(100 * x) / SIDE}%, ${(100 * y) / SIDE}%) scale(${scale})`;
    this.canvas.classList.toggle("large", scale >= 3);
  }

  // ------------------------------------------------------------------------------------------------------------- pointers

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  }

  pressureOf(event) {
    if (!this.settings.pressure || event.pointerType !== "pen" || !event.pressure) return 1;
    return 0.25 + 0.75 * event.pressure;
  }

  // A hand that rests on the screen: any touch once there is a pen, and a wide one before that.
  isPalm(event) {
    return event.pointerType === "touch" && (this.isPen || Math.max(event.width, event.height) > PALM);
  }

  pointerdown(event) {
    if (event.button > 0 && event.button !== 5) return;
    event.preventDefault();
    this.root.focus({ preventScroll: true, focusVisible: false });
    if (event.pointerType === "pen") this.isPen = true;
    if (event.pointerType === "touch") {
      this.touches.set(event.pointerId, event);
      if (this.touches.size === 2) {
        this.cancel(); // two fingers move the view
        return;
      }
      if (this.isPalm(event) || this.touches.size > 2) return;
    }
    if (this.pointer !== undefined) return;
    this.root.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    const point = this.pointOf(event);
    const isEraser = event.button === 5 || event.buttons === 32; // the pen's other end
    this.start(point, this.pressureOf(event), { isStraight: event.shiftKey, isPicker: event.altKey, isEraser });
  }

  pointermove(event) {
    const before = this.touches.get(event.pointerId);
    if (before) {
      this.touches.set(event.pointerId, event);
      if (this.touches.size === 2 && this.pointer === undefined) return this.pinch(event, before);
    }
    const point = this.pointOf(event);
    this.hover = point;
    this.showTip(event.pointerType === "touch" ? null : point);
    if (this.corners.length) this.showCursor();
    if (event.pointerId !== this.pointer) return undefined;
    const events = event.getCoalescedEvents?.() ?? [];
    const all = (events.length ? events : [event]).map((each) => [this.pointOf(each), this.pressureOf(each)]);
    return this.drag(all, event.shiftKey);
  }

  pointerup(event) {
    this.touches.delete(event.pointerId);
    if (event.pointerId !== this.pointer) return;
    this.pointer = undefined;
    this.stop(this.pointOf(event), this.pressureOf(event), event.shiftKey, event.timeStamp);
  }

  pointercancel(event) {
    this.touches.delete(event.pointerId);
    if (event.pointerId === this.pointer) this.cancel();
  }

  pinch(event, before) {
    const [other] = [...this.touches.values()].filter((each) => each.pointerId !== event.pointerId);
    const distance = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
    const unit = SIDE / this.root.clientWidth;
    this.pan(((event.clientX - before.clientX) * unit) / 2, ((event.clientY - before.clientY) * unit) / 2);
    const [x, y] = this.pointOf({
      clientX: (event.clientX + other.clientX) / 2,
      clientY: (event.clientY + other.clientY) / 2,
    });
    this.zoom(distance(event) / Math.max(1, distance(before)), x, y);
  }

  wheel(event) {
    event.preventDefault();
    const [x, y] = this.pointOf(event);
    if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(-event.deltaY / 200), x, y);
    else if (this.settings.tool === "move") this.moveBy({ x: 0, y: 0, scale: Math.exp(-event.deltaY / 1500) });
    else this.pan(-event.deltaX * 0.5, -event.deltaY * 0.5);
  }

  // ----------------------------------------------------------------------------------------------------------------- tools

  start(point, pressure, { isStraight = false, isPicker = false, isEraser = false } = {}) {
    const { tool } = this.settings;
    const isMap = this.document.kind === "map";
    if (isMap && (isPicker || tool === "picker")) return this.pickAt(point);
    if (tool === "bucket") return this.fillAt(point);
    if (tool === "polygon") return this.addCorner(point);
    if (tool === "move") {
      this.moving = { from: point, move: { x: 0, y: 0, scale: 1 } };
      return undefined;
    }
    return this.beginStroke(point, pressure, isEraser ? "eraser" : tool, isStraight);
  }

  drag(points, isStraight) {
    if (this.moving) {
      const [[x, y]] = points[points.length - 1];
      this.moving.move = { x: x - this.moving.from[0], y: y - this.moving.from[1], scale: 1 };
      const pixels = this.movedBy(this.moving.move, false).pixels;
      this.paint(pixels, everywhere());
      this.live(pixels);
    } else if (this.stroke) {
      this.extend(points, isStraight);
    }
  }

  stop(point, pressure, isStraight, time) {
    if (this.moving) {
      const { move } = this.moving;
      this.moving = null;
      if (move.x || move.y) this.done(this.movedBy(move, true), "move", { time });
    } else if (this.stroke) {
      this.extend([[point, pressure]], isStraight, true);
      this.endStroke(time);
    }
  }

  cancel() {
    this.pointer = undefined;
    this.keyed = false;
    const isUnderWay = this.stroke || this.moving;
    this.stroke = this.moving = null;
    this.cover.fill(0);
    this.mirrorCover.fill(0);
    if (isUnderWay) {
      this.paint(this.document.pixels, everywhere());
      this.live(this.document.pixels);
    }
  }

  beginStroke([x, y], pressure, tool, isStraight) {
    const isMap = this.document.kind === "map";
    this.stroke = { tool: isMap ? "pencil" : tool, radius: this.settings.sizes[tool] / 2, points: [] };
    if (this.settings.symmetric) this.stroke.symmetric = true;
    this.id = tool === "eraser" ? 0 : this.settings.id;
    this.label = isMap ? (tool === "eraser" ? "erase" : "brush") : tool;
    this.working = this.document.pixels.slice();
    if (isStraight && this.lastEnd) this.addStrokePoint([...this.lastEnd, pressure]); // on from the last stroke
    this.addStrokePoint([x, y, pressure]);
    this.render(this.newBox);
  }

  addStrokePoint(point) {
    this.stroke.points.push(point);
    this.newBox = joined(this.newBox ?? nowhere(), this.advance(false));
  }

  // Add the newest point to the covers; the box that it touched, on both sides.
  advance(isLast) {
    const count = this.stroke.points.length;
    const box = addPoint(this.cover, this.stroke, count, isLast);
    if (!this.stroke.symmetric) return box;
    return joined(box, addMirrored(this.cover, this.document.kind === "map" ? this.mirrorCover : this.cover, box));
  }

  extend(points, isStraight, isEnd = false) {
    if (isStraight) {
      const [first] = this.stroke.points;
      this.cover.fill(0);
      this.mirrorCover.fill(0);
      this.working.set(this.document.pixels);
      this.stroke.points = [];
      const [[x, y], pressure] = points[points.length - 1];
      this.addStrokePoint(first);
      this.addStrokePoint([x, y, pressure]);
      this.advance(true);
      this.render(everywhere());
      return;
    }
    for (const [[x, y], pressure] of points) {
      const last = this.stroke.points[this.stroke.points.length - 1];
      const share = isEnd || this.keyed ? 1 : STEADY;
      const next = [last[0] + (x - last[0]) * share, last[1] + (y - last[1]) * share, last[2] + (pressure - last[2]) * share];
      const far = Math.hypot(next[0] - last[0], next[1] - last[1]);
      if (far > 0.3) this.addStrokePoint(next);
    }
    this.render(this.newBox);
  }

  render(box) {
    this.newBox = nowhere();
    if (box.left >= box.right) return;
    const { pixels } = this.document;
    if (this.document.kind === "map") {
      const { guarded } = this.settings;
      layOnMap(pixels, this.working, this.cover, box, this.id, guarded);
      const other = this.document.scheme.mirror[this.id];
      if (this.stroke.symmetric) layOnMap(pixels, this.working, this.mirrorCover, box, other, guarded);
    } else {
      layOnSketch(pixels, this.working, this.cover, box, this.stroke.tool === "eraser");
    }
    this.paint(this.working, box);
    this.live(this.working);
  }

  endStroke(time = performance.now()) {
    if (!this.stroke) return;
    const box = this.advance(true);
    const { stroke, working } = this;
    this.newBox = nowhere();
    if (this.document.kind === "map") {
      const { guarded } = this.settings;
      layOnMap(this.document.pixels, working, this.cover, box, this.id, guarded);
      const other = this.document.scheme.mirror[this.id];
      if (stroke.symmetric) layOnMap(this.document.pixels, working, this.mirrorCover, box, other, guarded);
    } else {
      layOnSketch(this.document.pixels, working, this.cover, box, stroke.tool === "eraser");
    }
    this.stroke = null;
    this.keyed = false;
    this.cover.fill(0);
    this.mirrorCover.fill(0);
    this.lastEnd = stroke.points[stroke.points.length - 1].slice(0, 2);
    const change = { pixels: working };
    if (this.document.kind === "sketch") change.strokes = [...this.document.strokes, stroke];
    this.done(change, this.label, { time });
  }

  inside([x, y]) {
    return [clamp(Math.floor(x), 0, SIDE - 1), clamp(Math.floor(y), 0, SIDE - 1)];
  }

  pickAt(point) {
    const [x, y] = this.inside(point);
    this.pick(this.document.pixels[y * SIDE + x]);
  }

  fillAt(point) {
    const { id, guarded, symmetric } = this.settings;
    const [x, y] = this.inside(point);
    const before = this.document.pixels;
    let pixels = fill(before, x, y, id, guarded);
    const other = SIDE - 1 - x;
    const isApart = pixels[y * SIDE + other] === before[y * SIDE + other]; // not in the area that was filled
    if (symmetric && isApart) pixels = fill(pixels, other, y, this.document.scheme.mirror[id], guarded);
    if (pixels !== before) this.done({ pixels }, "bucket");
  }

  addCorner(point) {
    const [first] = this.corners;
    if (this.corners.length > 2 && Math.hypot(point[0] - first[0], point[1] - first[1]) < CLOSE) return this.closePolygon();
    this.corners.push(point);
    this.showCursor();
    this.say(`corner ${this.corners.length}; Enter closes the polygon`);
    return undefined;
  }

  closePolygon() {
    const corners = this.corners;
    this.corners = [];
    this.showCursor();
    if (corners.length < 3) return;
    const { id, guarded, symmetric } = this.settings;
    let pixels = fillPolygon(this.document.pixels, corners, id, guarded);
    if (symmetric) {
      const flipped = corners.map(([x, y]) => [SIDE - x, y]);
      pixels = fillPolygon(pixels, flipped, this.document.scheme.mirror[id], guarded);
    }
    this.done({ pixels }, "polygon");
  }

  movedBy(move, isFinal) {
    const { kind, pixels, base, strokes } = this.document;
    if (kind === "map") return { pixels: movedPixels(pixels, move, 0, true) };
    if (!isFinal) return { pixels: movedPixels(pixels, move, 255, false) };
    const moved = {
      base: strokes.length && base.every((value) => value === 255) ? base : movedPixels(base, move, 255, false),
      strokes: strokes.map((stroke) => movedStroke(stroke, move)),
    };
    return { ...moved, pixels: sketchOf(moved.base, moved.strokes) };
  }

  moveBy(move) {
    this.done(this.movedBy(move, true), "move", { into: "move" });
  }

  // ------------------------------------------------------------------------------------------------------------- the keys

  // Arrows move a cross; Space puts the tool down and lifts it.
  keydown(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.ctrlKey || event.metaKey) return;
    if (step) {
      event.preventDefault();
      const length = event.altKey ? 1 : event.shiftKey ? 32 : 8;
      const [dx, dy] = step.map((value) => value * length);
      if (this.settings.tool === "move") return this.moveBy({ x: dx, y: dy, scale: 1 });
      this.cursor = { x: clamp(this.cursor.x + dx, 0, SIDE), y: clamp(this.cursor.y + dy, 0, SIDE) };
      if (this.keyed) this.extend([[[this.cursor.x, this.cursor.y], 1]], false);
      this.hover = [this.cursor.x, this.cursor.y];
    } else if (event.key === " ") {
      event.preventDefault();
      if (this.keyed) this.endStroke();
      else {
        const point = [this.cursor.x, this.cursor.y];
        this.start(point, 1);
        this.keyed = Boolean(this.stroke);
        if (this.moving) this.moving = null;
        if (this.keyed) this.say("pen down");
      }
    } else if (event.key === "Enter") {
      if (this.corners.length) this.closePolygon();
      else if (this.keyed) this.endStroke();
    } else if (event.key === "Escape") {
      this.corners = [];
      this.cancel();
    } else return;
    this.showCursor();
  }
}
