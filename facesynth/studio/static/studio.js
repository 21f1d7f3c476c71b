// The page: joins the board, the engine, the history and the controls. All that a person can undo is in one state, which is
// never changed but replaced; what only says how things are shown is in ``settings``.

import { Board } from "./board.js";
import { palette, readable } from "./classes.js";
import { RemoteEngine } from "./engine.js";
import { History } from "./history.js";
import { Importer } from "./importer.js";
import { listenToKeys, shortcutRows } from "./keys.js";
import { encodePng } from "./png.js";
import { PAPER, SIDE, blank } from "./raster.js";
import { keep, kept, projectFile, readProject } from "./store.js";
import { StylePanel, commandOf } from "./styles.js";
import { guidePath, templateMap } from "./template.js";

const QUIET = 250; // ms without a change after which the strip of styles is asked for
const KEEP_AFTER = 300;

const $ = (id) => document.getElementById(id);
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// ---------------------------------------------------------------------------------------------------------------- the state

const OWN = { source: "own", seed: 0, number: 0, colours: {}, layers: "", alpha: 1, truncation: 1, follow: 1, latents: null };

function fresh(about) {
  const base = blank(PAPER);
  const first = (kind) => about.models.find((model) => model.kind === kind)?.name ?? null;
  const models = { sketch: first("sketch"), map: first("map") };
  const scheme = about.models.find((model) => model.name === models.map)?.scheme;
  return {
    kind: models.sketch ? "sketch" : "map",
    models,
    sketch: { base, strokes: [], pixels: base },
    map: { pixels: (scheme && templateMap(scheme)) ?? blank(0) },
    style: OWN,
    strip: { seed: 1, locked: [] },
  };
}

const number = (value, low, high, otherwise) =>
  typeof value === "number" && value >= low && value <= high ? value : otherwise;

// A state that was kept or opened, with what this studio lacks replaced.
function fit(state, about) {
  const start = fresh(about);
  const known = (kind) => about.models.find((model) => model.kind === kind && model.name === state.models?.[kind]);
  const models = { sketch: known("sketch")?.name ?? start.models.sketch, map: known("map")?.name ?? start.models.map };
  const scheme = about.models.find((model) => model.name === models.map)?.scheme;
  const pixels = scheme ? state.map.pixels.map((id) => (id < scheme.classes.length ? id : 0)) : state.map.pixels;
  const style = { ...OWN, ...state.style };
  return {
    kind: models[state.kind] ? state.kind : start.kind,
    models,
    sketch: { base: state.sketch.base, strokes: state.sketch.strokes, pixels: state.sketch.pixels },
    map: { pixels },
    style: {
      source: ["own", "random", "given"].includes(style.source) ? style.source : "own",
      seed: Math.floor(number(style.seed, 0, 2 ** 32 - 1, 0)),
      number: Math.floor(number(style.number, 0, 63, 0)),
      colours: Object.fromEntries(Object.entries(style.colours ?? {}).filter(([, colour]) => /^#[0-9a-f]{6}$/.test(colour)).slice(0, 8)),
      layers: typeof style.layers === "string" ? style.layers.slice(0, 200) : "",
      alpha: number(style.alpha, 0, 1, 1),
      truncation: number(style.truncation, 0, 2, 1),
      follow: number(style.follow, 0, 1, 1),
      latents: style.latents instanceof Uint8Array ? style.latents : null,
    },
    strip: {
      seed: Math.floor(number(state.strip?.seed, 0, 2 ** 32 - 1, 1)),
      locked: (Array.isArray(state.strip?.locked) ? state.strip.locked : [])
        .filter((each) => Number.isInteger(each?.seed) && Number.isInteger(each?.number))
        .slice(0, 8),
    },
  };
}

function keptSettings() {
  try {
    return JSON.parse(localStorage.getItem("facesynth-settings") ?? "{}");
  } catch {
    return {};
  }
}

const settings = {
  tool: "pencil",
  tools: { sketch: "pencil", map: "brush" },
  sizes: { pencil: 3, eraser: 24, brush: 20 },
  id: 1,
  guarded: [],
  symmetric: false,
  guides: false,
  pressure: true,
  dark: false,
  patterns: true,
  ...keptSettings(),
};

const keepSettings = () => localStorage.setItem("facesynth-settings", JSON.stringify({ ...settings, guarded: [] }));

// --------------------------------------------------------------------------------------------------------- what is under way

let about = null;
let history = null;
let revisions = 0;
let shown = null; // the face on the screen: {pixels, width, height, revision, model}
let asked = 0; // the revision of the newest face that was asked for
let quiet = 0;
let keeping = 0;
let playing = 0;
let filmFile = null;
const revisionOf = new WeakMap();

const state = () => history.state;
const modelOf = (kind = state().kind) => about.models.find((model) => model.name === state().models[kind]);

function say(text) {
  $("status").textContent = text;
}

function documentOf(of = state()) {
  const scheme = modelOf("map")?.scheme;
  return { ...of[of.kind], kind: of.kind, scheme };
}

function conditionOf(pixels, isNew = false) {
  if (isNew || !revisionOf.has(pixels)) revisionOf.set(pixels, ++revisions);
  return { model: modelOf().name, revision: revisionOf.get(pixels), pixels, side: SIDE };
}

function askForFace(pixels = state()[state().kind].pixels, { isNew = false, urgent = false, time = 0 } = {}) {
  const condition = conditionOf(pixels, isNew);
  asked = condition.revision;
  $("strip").dataset.revision = asked;
  if (time) strokes.set(asked, time);
  stopFilm();
  $("busy").hidden = !engine.isOpen;
  engine.face(condition, state().style, { urgent });
  clearTimeout(quiet);
  quiet = setTimeout(askForStrip, QUIET);
}

function askForStrip() {
  if (board.stroke || board.moving) return;
  const { style, kind } = state();
  engine.strip(conditionOf(state()[kind].pixels), panel.tiles.map((tile) => ({ ...style, ...tile })));
}

// The times of strokes by the revision that they led to, for whoever measures how long a face takes.
const strokes = new Map();

function showFace(face) {
  if (face.model !== modelOf().name) return;
  const canvas = $("face");
  if (canvas.width !== face.width) Object.assign(canvas, { width: face.width, height: face.height });
  shown = { ...face, pixels: face.pixels.slice() };
  const received = performance.now();
  drawFace(canvas, face);
  if (face.revision === asked) $("busy").hidden = true;
  $("hint").hidden = true;
  const { encode, generate } = face.times;
  $("timing").textContent = `${encode ? `encode ${encode.toFixed(0)} ms, ` : ""}generate ${generate.toFixed(0)} ms`;
  const since = strokes.get(face.revision);
  for (const revision of strokes.keys()) if (revision <= face.revision) strokes.delete(revision);
  requestAnimationFrame(() =>
    setTimeout(() => {
      const detail = { revision: face.revision, times: face.times, since, received, painted: performance.now() };
      document.dispatchEvent(new CustomEvent("face-shown", { detail }));
    }),
  );
}

function drawFace(canvas, { pixels, width, height }) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let from = 0, to = 0; from < pixels.length; to += 4) {
    image.data[to] = pixels[from++];
    image.data[to + 1] = pixels[from++];
    image.data[to + 2] = pixels[from++];
    image.data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// ------------------------------------------------------------------------------------------------------------------ changes

function change(part, label, { into = null, ...asking } = {}) {
  changing = asking;
  history.push({ ...state(), ...part }, label, into);
  changing = {};
}
let changing = {};

function changeDocument(part, label, asking) {
  const { kind } = state();
  change({ [kind]: { ...state()[kind], ...part } }, label, asking);
}

function changed(now, before, label, how) {
  if (now.kind !== before.kind || now.models !== before.models) showKind();
  if (now[now.kind] !== before[before.kind] || now.kind !== before.kind) board.show(documentOf());
  if (now.style !== before.style || now.strip !== before.strip || now.models !== before.models) panel.show(now);
  if (now[now.kind] !== before[before.kind] || now.style !== before.style || now.models !== before.models || now.kind !== before.kind)
    askForFace(now[now.kind].pixels, { urgent: true, ...changing });
  else if (now.strip !== before.strip) askForStrip();
  if (how !== "done") say(`${how}: ${label}`);
  else say(label);
  afterChange();
}

function afterChange() {
  $("undo").disabled = !history.past.length;
  $("redo").disabled = !history.future.length;
  clearTimeout(keeping);
  keeping = setTimeout(keepNow, KEEP_AFTER);
}

async function keepNow() {
  clearTimeout(keeping);
  keeping = 0;
  try {
    await keep(state());
    document.body.dataset.kept = String(revisionOf.get(state()[state().kind].pixels) ?? 0);
  } catch {
    say("this browser keeps nothing; save the project to keep your work");
  }
}

// ------------------------------------------------------------------------------------------------------------- the controls

function showKind() {
  const { kind, models } = state();
  document.body.dataset.mode = kind;
  for (const button of document.querySelectorAll("[data-mode]")) {
    if (button === document.body) continue;
    button.setAttribute("aria-checked", String(button.dataset.mode === kind));
    button.disabled = !models[button.dataset.mode];
  }
  const names = about.models.filter((model) => model.kind === kind).map((model) => model.name);
  $("model").replaceChildren(...names.map((name) => element("option", { value: name, textContent: name })));
  $("model").value = models[kind];
  $("follow-label").hidden = !modelOf().follows;
  panel.offerColours(modelOf().colours);
  panel.show(state());
  settings.guarded = [];
  if (kind === "map") showClasses();
  $("board").setAttribute("aria-label", kind === "map" ? "Label map" : "Sketch");
  chooseTool(settings.tools[kind]);
}

function chooseTool(tool) {
  const button = document.querySelector(`[data-tool="${tool}"]`);
  if (!button || !button.dataset.for.includes(state().kind)) return;
  settings.tool = settings.tools[state().kind] = tool;
  for (const each of document.querySelectorAll("[data-tool]")) each.setAttribute("aria-checked", String(each.dataset.tool === tool));
  for (const each of document.querySelectorAll("[data-show]")) each.hidden = !each.dataset.show.split(" ").includes(tool);
  if (tool !== "polygon") board.corners = [];
  showSize();
  board.showCursor();
  keepSettings();
}

function showSize() {
  const size = settings.sizes[settings.tool] ?? 1;
  $("size").value = size;
  $("size-value").textContent = `${size} px`;
}

function resize(step) {
  if (!(settings.tool in settings.sizes)) return;
  const size = settings.sizes[settings.tool];
  settings.sizes[settings.tool] = Math.min(120, Math.max(1, size + step * (size >= 20 ? 4 : 1)));
  showSize();
  say(`size ${settings.sizes[settings.tool]} px`);
  keepSettings();
}

function showClasses() {
  const { scheme } = modelOf("map");
  settings.id = Math.min(settings.id, scheme.classes.length - 1);
  const colours = palette(scheme, true);
  $("classes").replaceChildren(
    ...scheme.classes.map((name, id) => {
      const swatch = element("canvas", { width: 24, height: 18 });
      const context = swatch.getContext("2d");
      const image = context.createImageData(24, 18);
      const words = new Uint32Array(image.data.buffer);
      for (let at = 0; at < words.length; at++) words[at] = colours[id][(Math.floor(at / 24) % 8) * 8 + ((at % 24) % 8)];
      context.putImageData(image, 0, 0);
      const choose = element("button", { type: "button", className: "name", title: name }, swatch, readable(name));
      choose.setAttribute("role", "radio");
      choose.onclick = () => chooseClass(id);
      const guard = element("button", { type: "button", className: "guard", title: "Protect this class" });
      guard.append(iconOf("i-open-lock"));
      guard.setAttribute("aria-label", `Protect ${readable(name)}`);
      guard.onclick = () => protect(id);
      return element("div", { className: "class" }, choose, guard);
    }),
  );
  chooseClass(settings.id, true);
  showGuarded();
}

function iconOf(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}

function chooseClass(id, isQuiet = false) {
  const { classes } = modelOf("map").scheme;
  settings.id = (id + classes.length) % classes.length;
  [...$("classes").children].forEach((row, index) => row.firstChild.setAttribute("aria-checked", String(index === settings.id)));
  if (!isQuiet) say(`class ${readable(classes[settings.id])}`);
  keepSettings();
}

function protect(id) {
  settings.guarded[id] = !settings.guarded[id];
  showGuarded();
  say(`${readable(modelOf("map").scheme.classes[id])} is ${settings.guarded[id] ? "protected" : "not protected"}`);
}

function showGuarded() {
  [...$("classes").children].forEach((row, id) => {
    row.lastChild.setAttribute("aria-pressed", String(Boolean(settings.guarded[id])));
    row.lastChild.replaceChildren(iconOf(settings.guarded[id] ? "i-lock" : "i-open-lock"));
  });
}

function setSwitch(name, value) {
  settings[name] = value;
  $(name).checked = value;
  document.querySelector(".guide").toggleAttribute("hidden", !settings.guides);
  document.querySelector("#board").classList.toggle("dark", settings.dark);
  if (history) board.show(documentOf());
  keepSettings();
}

const toggle = (name) => {
  setSwitch(name, !settings[name]);
  say(`${$(name).parentElement.textContent.trim()}: ${settings[name] ? "on" : "off"}`);
};

function changeKind(kind) {
  if (kind !== state().kind && state().models[kind]) change({ kind }, kind === "map" ? "label map" : "sketch");
}

function changeStyle(part, label, into) {
  change({ style: { ...state().style, ...part } }, label, { into });
}

function clear() {
  const base = blank(PAPER);
  const { scheme } = modelOf("map") ?? {};
  if (state().kind === "sketch") changeDocument({ base, strokes: [], pixels: base }, "started again");
  else changeDocument({ pixels: templateMap(scheme) ?? blank(0) }, "started again");
}

async function startFrom(what, label) {
  try {
    changeDocument({ pixels: await what }, label);
  } catch (error) {
    say(error.message);
  }
}

// --------------------------------------------------------------------------------------------------------------------- files

function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`saved ${name}`);
}

const conditionPng = () => encodePng(state()[state().kind].pixels, SIDE, SIDE, 1);

const saving = {
  "save-project": async () => download(await projectFile(state()), "face.facesynth"),
  "save-condition": async () => download(await conditionPng(), state().kind === "map" ? "map.png" : "sketch.png"),
  "save-picture": async () => {
    if (!shown) throw new Error("there is no face yet");
    download(await encodePng(shown.pixels, shown.width, shown.height, 3), "face.png");
  },
  "save-latents": async () => {
    const bytes = await engine.latents(conditionOf(state()[state().kind].pixels), state().style);
    download(new Blob([bytes]), "face.npy");
  },
  "save-sheet": async () => download(await sheet(), "sheet.png"),
  "save-film": async () => download(new Blob([filmFile], { type: "image/webp" }), "film.webp"),
};

// The drawing, the face and the strip, side by side.
function sheet() {
  const cell = Math.max(256, shown?.width ?? 0);
  const tiles = panel.canvases();
  const canvas = element("canvas", { width: 3 * cell, height: 2 * cell });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(board.canvas, 0, 0, cell, cell);
  context.drawImage($("face"), cell, 0, 2 * cell, 2 * cell);
  const small = cell / 3;
  tiles.slice(0, 9).forEach((tile, index) =>
    context.drawImage(tile, (index % 3) * small, cell + Math.floor(index / 3) * small, small, small),
  );
  return new Promise((resolve) => canvas.toBlob(resolve));
}

async function openProject(file) {
  try {
    if (file.size > 1 << 27) throw new Error("the file is too large for a project");
    const opened = fit(await readProject(await file.text()), about);
    change(opened, `opened ${file.name}`);
  } catch (error) {
    say(`${file.name} cannot be opened: ${error.message}`);
  }
}

// ---------------------------------------------------------------------------------------------------------------------- film

function stopFilm() {
  clearInterval(playing);
  playing = 0;
  $("play-film").lastElementChild.textContent = "Play";
}

async function playFilm() {
  if (playing) {
    stopFilm();
    if (shown) drawFace($("face"), shown);
    return;
  }
  const ends = ["film-from", "film-to"].map((id) => ({ ...state().style, ...panel.styleOf($(id).value) }));
  frames = [];
  $("save-film").hidden = true;
  say("the film is being made");
  try {
    filmFile = await engine.film(conditionOf(state()[state().kind].pixels), ...ends, 16);
  } catch (error) {
    say(error.message);
    return;
  }
  $("save-film").hidden = false;
  $("play-film").lastElementChild.textContent = "Stop";
  say("the film plays");
  let at = 0;
  const way = [...frames, ...frames.slice(1, -1).reverse()];
  clearInterval(playing);
  playing = setInterval(() => drawFace($("face"), way[at++ % way.length]), 80);
}
let frames = [];

// --------------------------------------------------------------------------------------------------------------- the command

async function showCommand() {
  const { command, note } = commandOf(state(), modelOf());
  $("command").textContent = command;
  $("command-note").textContent = note;
  $("command-dialog").showModal();
}

// ------------------------------------------------------------------------------------------------------------ the beginnings

const board = new Board($("board"), settings, {
  live: (pixels) => askForFace(pixels, { isNew: true }),
  done: (part, label, { into, time } = {}) => changeDocument(part, label, { into, time, isNew: true }),
  pick: (id) => chooseClass(id),
  say,
});

const panel = new StylePanel({
  element,
  iconOf,
  drawFace,
  change: changeStyle,
  changeStrip: (strip, label) => change({ strip: { ...state().strip, ...strip } }, label),
  seal: () => history.seal(),
});

const importer = new Importer($("import-dialog"), {
  read: (bytes, options, purpose) => engine.read(modelOf().name, bytes, options).then((pixels) => brought(pixels, purpose)),
});

async function brought(pixels, purpose) {
  const { kind } = state();
  if (purpose === "style") {
    const model = modelOf();
    const file = await engine.latents(conditionOf(pixels), OWN);
    const latents = file.slice(-4 * model.styles * model.styleDim);
    changeStyle({ source: "given", latents }, "style from a picture");
  } else if (kind === "sketch") {
    changeDocument({ base: pixels, strokes: [], pixels }, "a picture");
  } else {
    changeDocument({ pixels }, "a picture");
  }
}

const engine = new RemoteEngine({
  about: (told) => begin(told),
  online: (isOnline) => {
    $("offline").hidden = isOnline;
    document.body.dataset.online = String(isOnline);
    $("busy").hidden = !isOnline;
    if (isOnline && history) askForFace(undefined, { urgent: true });
    if (!isOnline) say("the studio is not running; your drawing is kept");
  },
  face: showFace,
  tile: (tile) => {
    if (tile.model === modelOf().name) panel.showTile(tile);
  },
  frame: (frame) => {
    frames[frame.index] = { ...frame, pixels: frame.pixels.slice() };
    drawFace($("face"), frame);
  },
  wrong: (message) => {
    $("busy").hidden = true;
    say(message);
  },
});

async function begin(told) {
  if (history) {
    // the studio was started again, perhaps with other models
    if (JSON.stringify(told.models) !== JSON.stringify(about.models)) keepNow().finally(() => location.reload());
    return;
  }
  about = told;
  if (location.search) window.history.replaceState(null, "", "/"); // the token is a cookie now
  let start = fresh(about);
  try {
    const before = await kept();
    if (before) start = fit(before, about);
  } catch {
    say("this browser keeps nothing; save the project to keep your work");
  }
  history = new History(start, changed);
  importer.methods(about.methods);
  document.querySelector(".guide").setAttribute("d", guidePath());
  for (const name of ["symmetric", "guides", "pressure", "dark", "patterns"]) {
    setSwitch(name, settings[name]);
    $(name).onchange = () => toggle(name);
  }
  showKind();
  board.show(documentOf());
  panel.show(state());
  $("hint").hidden = state().kind === "map" || state().sketch.pixels.some((value) => value < PAPER);
  afterChange();
  askForFace();
  document.body.dataset.ready = "true";
}

const actions = {
  undo: () => (board.cancel(), history.undo()),
  redo: () => (board.cancel(), history.redo()),
  tool: chooseTool,
  draw: () => chooseTool(state().kind === "map" ? "brush" : "pencil"),
  size: resize,
  toggle,
  mode: () => changeKind(state().kind === "map" ? "sketch" : "map"),
  class: (step) => state().kind === "map" && chooseClass(settings.id + step),
  protect: () => state().kind === "map" && protect(settings.id),
  style: (index) => panel.choose(index),
  reroll: () => $("reroll").click(),
  zoom: (factor) => (factor ? board.zoom(factor) : board.zoom(1 / 8)),
  clear,
  film: playFilm,
  save: () => $("save-project").click(),
  open: () => $("project-file").click(),
  help: () => $("help-dialog").showModal(),
};

for (const [id, act] of Object.entries(saving)) {
  $(id).onclick = async () => {
    $("file-menu").hidePopover();
    try {
      await act();
    } catch (error) {
      say(error.message);
    }
  };
}
$("undo").onclick = actions.undo;
$("redo").onclick = actions.redo;
$("help").onclick = actions.help;
$("clear").onclick = () => {
  $("file-menu").hidePopover();
  clear();
};
$("open-project").onclick = () => {
  $("file-menu").hidePopover();
  actions.open();
};
$("project-file").onchange = (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) openProject(file);
};
$("show-command").onclick = () => {
  $("file-menu").hidePopover();
  showCommand();
};
$("copy-command").onclick = async () => {
  await navigator.clipboard.writeText($("command").textContent);
  $("copy-command").textContent = "Copied";
  setTimeout(() => ($("copy-command").textContent = "Copy"), 1500);
};
for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => chooseTool(button.dataset.tool);
for (const id of ["mode-sketch", "mode-map"]) $(id).onclick = () => changeKind($(id).dataset.mode);
$("model").onchange = () => change({ models: { ...state().models, [state().kind]: $("model").value } }, `model ${$("model").value}`);
$("size").oninput = () => {
  settings.sizes[settings.tool] = Number($("size").value);
  showSize();
  keepSettings();
};
$("smaller").onclick = () => board.moveBy({ x: 0, y: 0, scale: 1 / 1.05 });
$("larger").onclick = () => board.moveBy({ x: 0, y: 0, scale: 1.05 });
$("template").onclick = () => {
  const pixels = templateMap(modelOf("map").scheme);
  if (pixels) changeDocument({ pixels }, "the template");
  else say("the template has none of this model's classes");
};
$("portrait").onclick = () =>
  startFrom(engine.portrait(modelOf().name, Math.floor(Math.random() * 100000)), "a drawn portrait");
$("import").onclick = () => importer.open(state().kind, "document");
$("style-from").onclick = () => importer.open(state().kind, "style");
$("play-film").onclick = playFilm;
$("shortcuts").append(...shortcutRows(element));
listenToKeys(actions);

for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
document.addEventListener("drop", (event) => bringFile(event.dataTransfer.files[0]));
document.addEventListener("paste", (event) => bringFile(event.clipboardData.files[0]));
function bringFile(file) {
  if (!file || !history) return;
  if (file.name.endsWith(".facesynth")) openProject(file);
  else importer.open(state().kind, "document", file);
}

// What was not kept yet is kept before the page goes.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden" && keeping) keepNow();
});
