// Pixels: strokes, areas and moves on square documents of SIDE x SIDE bytes. Nothing here knows of the screen.
//
// A stroke is {radius, points}; a point is [x, y, r], r the radius at it as a share of the stroke's, 0 to 1. Its cover is how much
// of every pixel it covers, 0 to 255.

export const SIDE = 512;
export const PAPER = 255;
const COUNT = SIDE * SIDE;

export const blank = (value) => new Uint8Array(COUNT).fill(value);

export const nowhere = () => ({ left: SIDE, top: SIDE, right: 0, bottom: 0 });
export const everywhere = () => ({ left: 0, top: 0, right: SIDE, bottom: SIDE });

export function joined(one, other) {
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

// Add a straight piece of a stroke, from [x, y, radius in pixels] to another, to a cover; the box that it touched.
export function addSegment(cover, [x0, y0, r0], [x1, y1, r1]) {
  const most = Math.max(r0, r1) + 1;
  const left = Math.max(0, Math.floor(Math.min(x0, x1) - most));
  const top = Math.max(0, Math.floor(Math.min(y0, y1) - most));
  const right = Math.min(SIDE, Math.ceil(Math.max(x0, x1) + most) + 1);
  const bottom = Math.min(SIDE, Math.ceil(Math.max(y0, y1) + most) + 1);
  const dx = x1 - x0;
  const dy = y1 - y0;
  const square = dx * dx + dy * dy;
  for (let y = top; y < bottom; y++) {
    const py = y + 0.5 - y0;
    for (let x = left; x < right; x++) {
      const px = x + 0.5 - x0;
      let along = square ? (px * dx + py * dy) / square : 0;
      along = along < 0 ? 0 : along > 1 ? 1 : along;
      const ex = px - along * dx;
      const ey = py - along * dy;
      const inside = r0 + along * (r1 - r0) - Math.sqrt(ex * ex + ey * ey) + 0.5;
      if (inside > 0) {
        const value = inside >= 1 ? 255 : Math.round(255 * inside);
        const at = y * SIDE + x;
        if (value > cover[at]) cover[at] = value;
      }
    }
  }
  return left < right && top < bottom ? { left, top, right, bottom } : nowhere();
}

const between = (one, other) => one.map((value, index) => (value + other[index]) / 2);

// Add the pieces of a stroke that its newest point completes, as a curve through the middles between points. Call it once for
// every point, and once more with ``isLast``.
export function addPoint(cover, stroke, count, isLast = false) {
  const points = stroke.points.slice(Math.max(0, count - 3), count).map(([x, y, r]) => [x, y, Math.max(0.35, r * stroke.radius)]);
  const [last] = points.slice(-1);
  if (isLast) {
    const from = points.length > 1 ? between(points[points.length - 2], last) : last;
    return addSegment(cover, from, last);
  }
  if (points.length === 1) return addSegment(cover, last, last);
  const start = points.length === 3 ? between(points[0], points[1]) : points[0];
  const bend = points[points.length - 2];
  const end = between(bend, last);
  const steps = Math.max(1, Math.ceil(Math.hypot(end[0] - start[0], end[1] - start[1]) / 3));
  let box = nowhere();
  let from = start;
  for (let step = 1; step <= steps; step++) {
    const t = step / steps;
    const to = start.map((value, axis) => (1 - t) * (1 - t) * value + 2 * t * (1 - t) * bend[axis] + t * t * end[axis]);
    box = joined(box, addSegment(cover, from, to));
    from = to;
  }
  return box;
}

// Add the mirror image of what a cover has in a box to a cover, which may be the same; the box of the image.
export function addMirrored(cover, to, box) {
  for (let y = box.top; y < box.bottom; y++) {
    const row = y * SIDE;
    for (let x = box.left; x < box.right; x++) {
      const at = row + SIDE - 1 - x;
      if (cover[row + x] > to[at]) to[at] = cover[row + x];
    }
  }
  return box.left < box.right ? { ...box, left: SIDE - box.right, right: SIDE - box.left } : box;
}

// The cover of a whole stroke, and of its mirror image if it is symmetric.
export function coverOf(stroke) {
  const cover = new Uint8Array(COUNT);
  let box = nowhere();
  for (let count = 1; count <= stroke.points.length; count++) box = joined(box, addPoint(cover, stroke, count));
  box = joined(box, addPoint(cover, stroke, stroke.points.length, true));
  if (stroke.symmetric) box = joined(box, addMirrored(cover, cover, box));
  return { cover, box };
}

// Lay a stroke on a sketch, within a box: a pencil darkens, an eraser whitens.
export function layOnSketch(from, to, cover, box, isEraser) {
  for (let y = box.top; y < box.bottom; y++) {
    for (let at = y * SIDE + box.left, end = y * SIDE + box.right; at < end; at++) {
      const before = from[at];
      const ink = cover[at];
      to[at] = isEraser ? before + Math.round(((255 - before) * ink) / 255) : Math.min(before, 255 - ink);
    }
  }
}

// Lay a class on a map, within a box, where a stroke covers half of a pixel and no protected class is.
export function layOnMap(from, to, cover, box, id, isProtected) {
  for (let y = box.top; y < box.bottom; y++) {
    for (let at = y * SIDE + box.left, end = y * SIDE + box.right; at < end; at++) {
      if (cover[at] >= 128 && !isProtected[from[at]]) to[at] = id;
    }
  }
}

// The pixels of a sketch: its base, and the strokes on it.
export function sketchOf(base, strokes) {
  const pixels = base.slice();
  for (const stroke of strokes) {
    const { cover, box } = coverOf(stroke);
    layOnSketch(pixels, pixels, cover, box, stroke.tool === "eraser");
  }
  return pixels;
}

// Give the area around a pixel that has one class another one.
export function fill(pixels, x, y, id, isProtected) {
  const old = pixels[y * SIDE + x];
  if (old === id || isProtected[old]) return pixels;
  const filled = pixels.slice();
  const stack = [y * SIDE + x];
  while (stack.length) {
    const at = stack.pop();
    const row = at - (at % SIDE);
    let left = at;
    while (left > row && filled[left - 1] === old) left--;
    let right = at;
    while (right < row + SIDE - 1 && filled[right + 1] === old) right++;
    if (filled[at] !== old) continue;
    for (let each = left; each <= right; each++) {
      filled[each] = id;
      if (row > 0 && filled[each - SIDE] === old) stack.push(each - SIDE);
      if (row + SIDE < COUNT && filled[each + SIDE] === old) stack.push(each + SIDE);
    }
  }
  return filled;
}

// Give a polygon, [[x, y], ...], a class; inside is where a ray crosses its outline an odd number of times.
export function fillPolygon(pixels, corners, id, isProtected) {
  const filled = pixels.slice();
  for (let y = 0; y < SIDE; y++) {
    const crossings = [];
    for (let index = 0; index < corners.length; index++) {
      const [x0, y0] = corners[index];
      const [x1, y1] = corners[(index + 1) % corners.length];
      if (y0 <= y + 0.5 !== y1 <= y + 0.5) crossings.push(x0 + ((y + 0.5 - y0) / (y1 - y0)) * (x1 - x0));
    }
    crossings.sort((one, other) => one - other);
    for (let index = 0; index + 1 < crossings.length; index += 2) {
      const first = Math.max(0, Math.ceil(crossings[index] - 0.5));
      const last = Math.min(SIDE - 1, Math.ceil(crossings[index + 1] - 0.5) - 1);
      for (let x = first; x <= last; x++) {
        const at = y * SIDE + x;
        if (!isProtected[pixels[at]]) filled[at] = id;
      }
    }
  }
  return filled;
}

// A move is {x, y, scale}: about the middle scaled, then shifted.
const MIDDLE = SIDE / 2;

export function movedStroke(stroke, move) {
  const points = stroke.points.map(([x, y, r]) => [
    (x - MIDDLE) * move.scale + MIDDLE + move.x,
    (y - MIDDLE) * move.scale + MIDDLE + move.y,
    r,
  ]);
  return { ...stroke, points, radius: stroke.radius * move.scale };
}

// The pixels moved: class ids by the nearest pixel, a sketch by its four neighbours.
export function movedPixels(pixels, move, background, isMap) {
  const moved = new Uint8Array(COUNT);
  const value = (x, y) => (x < 0 || y < 0 || x >= SIDE || y >= SIDE ? background : pixels[y * SIDE + x]);
  for (let y = 0; y < SIDE; y++) {
    const sy = (y + 0.5 - MIDDLE - move.y) / move.scale + MIDDLE - 0.5;
    for (let x = 0; x < SIDE; x++) {
      const sx = (x + 0.5 - MIDDLE - move.x) / move.scale + MIDDLE - 0.5;
      if (isMap) {
        moved[y * SIDE + x] = value(Math.round(sx), Math.round(sy));
      } else {
        const left = Math.floor(sx);
        const top = Math.floor(sy);
        const right = sx - left;
        const below = sy - top;
        const upper = value(left, top) * (1 - right) + value(left + 1, top) * right;
        const lower = value(left, top + 1) * (1 - right) + value(left + 1, top + 1) * right;
        moved[y * SIDE + x] = Math.round(upper * (1 - below) + lower * below);
      }
    }
  }
  return moved;
}
