// Classes for people: readable names, and a pattern for each so that no class is told by its colour alone.

const READABLE = {
  eye_g: "glasses",
  u_lip: "upper lip",
  l_lip: "lower lip",
  ear_r: "earring",
  neck_l: "necklace",
  cloth: "clothes",
  mouth: "inner mouth",
};

export function readable(name) {
  if (READABLE[name]) return READABLE[name];
  return name.replace(/^l_/, "left ").replace(/^r_/, "right ").replaceAll("_", " ");
}

// 16 patterns of 8 x 8 pixels, 1 where a pixel is marked.
const PATTERNS = [
  () => 0,
  (x, y) => (x + y) % 8 < 2,
  (x, y) => (x + 8 - y) % 8 < 2,
  (x, y) => y % 8 < 2,
  (x) => x % 8 < 2,
  (x, y) => x % 8 < 2 || y % 8 < 2,
  (x, y) => x % 8 < 3 && y % 8 < 3,
  (x, y) => (x + y) % 8 < 2 || (x + 8 - y) % 8 < 2,
  (x, y) => (x % 4 < 2) === (y % 4 < 2),
  (x, y) => y % 4 < 1,
  (x) => x % 4 < 1,
  (x, y) => (x + y) % 4 < 1,
  (x, y) => (x + 4 - (y % 4)) % 4 < 1,
  (x, y) => x % 4 < 1 && y % 4 < 1,
  (x, y) => (x % 8) ** 2 + (y % 8) ** 2 < 20,
  (x, y) => (x + (y % 8 < 4 ? y : 8 - (y % 8))) % 8 < 2,
];

// For every class 64 colours, one per place in its pattern, as the pixels of a canvas.
export function palette(scheme, isPatterned) {
  return scheme.colours.map(([red, green, blue], id) => {
    const isLight = red * 0.3 + green * 0.59 + blue * 0.11 > 110;
    const marked = [red, green, blue].map((value) => (isLight ? Math.round(value * 0.72) : Math.round(value + (255 - value) * 0.3)));
    const colours = new Uint32Array(64);
    for (let at = 0; at < 64; at++) {
      const isMarked = isPatterned && id > 0 && PATTERNS[id % PATTERNS.length](at % 8, at >> 3);
      const [r, g, b] = isMarked ? marked : [red, green, blue];
      colours[at] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    return colours;
  });
}
