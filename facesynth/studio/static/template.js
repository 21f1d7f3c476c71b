// A face where the bundled models expect one, as shapes: guide lines to draw along, and a label map to start from. Lengths are in
// pixels of a document.

import { SIDE, blank, fillPolygon } from "./raster.js";

const ring = (x, y, rx, ry, { from = 0, to = 2 * Math.PI, count = 48 } = {}) =>
  Array.from({ length: count }, (_, step) => {
    const angle = from + ((to - from) * step) / (count - 1);
    return [x + rx * Math.cos(angle), y + ry * Math.sin(angle)];
  });

const flip = (shape) => shape.map(([x, y]) => [SIDE - x, y]);

const HEAD = [...ring(256, 250, 134, 150, { from: Math.PI, to: 2 * Math.PI }), ...ring(256, 262, 130, 176, { from: 0, to: Math.PI })];
const EYE = ring(196, 244, 29, 14); // the person's right eye, on the left of the picture
const BROW = [[152, 214], [176, 200], [208, 199], [228, 208], [226, 217], [206, 210], [178, 211]];
const NOSE = [[244, 240], [240, 286], [228, 314], [240, 328], [256, 332], [272, 328], [284, 314], [272, 286], [268, 240]];
const UPPER = [[206, 368], [236, 355], [256, 361], [276, 355], [306, 368], [256, 372]];
const LOWER = [[206, 368], [256, 374], [306, 368], [284, 390], [256, 396], [228, 390]];
const HAIR = [
  ...ring(256, 226, 170, 184, { from: Math.PI * 0.94, to: Math.PI * 2.06 }),
  ...ring(334, 330, 82, 40, { from: 0, to: Math.PI * 0.35, count: 8 }),
  ...ring(256, 262, 124, 128, { from: Math.PI * 2.03, to: Math.PI * 0.97 }),
  ...ring(178, 330, 82, 40, { from: Math.PI * 0.65, to: Math.PI, count: 8 }),
];
const EAR = ring(122, 268, 18, 36);
const NECK = [[188, 392], [324, 392], [336, 512], [176, 512]];
const CLOTH = [[0, 512], [28, 478], [176, 452], [256, 486], [336, 452], [484, 478], [512, 512]];

// In painting order; left and right are the person's.
const PARTS = [
  ["neck", NECK],
  ["cloth", CLOTH],
  ["r_ear", EAR],
  ["l_ear", flip(EAR)],
  ["skin", HEAD],
  ["hair", HAIR],
  ["r_brow", BROW],
  ["l_brow", flip(BROW)],
  ["r_eye", EYE],
  ["l_eye", flip(EYE)],
  ["nose", NOSE],
  ["u_lip", UPPER],
  ["l_lip", LOWER],
];

const GUIDES = [HEAD, EYE, flip(EYE), BROW, flip(BROW), [...UPPER.slice(0, 5), ...LOWER.slice(3)]];

const path = (shape) => `M${shape.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}Z`;

export const guidePath = () =>
  [...GUIDES.map(path), "M256 40V490", "M110 244H402", "M228 320Q256 340 284 320"].join("");

// The template in ids of a scheme; null if the scheme has none of its classes.
export function templateMap(scheme) {
  let pixels = blank(0);
  let isEmpty = true;
  for (const [name, shape] of PARTS) {
    const id = scheme.classes.indexOf(name);
    if (id > 0) {
      pixels = fillPolygon(pixels, shape, id, []);
      isEmpty = false;
    }
  }
  return isEmpty ? null : pixels;
}
