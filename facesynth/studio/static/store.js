// Where the work is kept: in the browser's IndexedDB after every change, and in project files.
//
// A project file is JSON: the format's name and version, the state, and its pixels and latents deflated, in base64.

import { through } from "./png.js";
import { SIDE } from "./raster.js";

const NAME = "facesynth-studio";
const VERSION = 1;
const MOST_STROKES = 20000;

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("work");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function work(mode, use) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction("work", mode);
      const request = use(transaction.objectStore("work"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const keep = (state) => work("readwrite", (store) => store.put(state, "state"));
export const kept = () => work("readonly", (store) => store.get("state"));

async function toText(bytes) {
  const small = await through(new CompressionStream("deflate"), bytes);
  let text = "";
  for (let at = 0; at < small.length; at += 8192) text += String.fromCharCode(...small.subarray(at, at + 8192));
  return btoa(text);
}

async function fromText(text, length) {
  const small = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const bytes = await through(new DecompressionStream("deflate"), small);
  if (bytes.length !== length) throw new Error(`${bytes.length} bytes where ${length} are needed`);
  return bytes;
}

async function packed(value) {
  if (value instanceof Uint8Array) return { length: value.length, deflated: await toText(value) };
  if (Array.isArray(value)) return Promise.all(value.map(packed));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(await Promise.all(Object.entries(value).map(async ([name, each]) => [name, await packed(each)])));
}

async function unpacked(value) {
  if (Array.isArray(value)) return Promise.all(value.map(unpacked));
  if (value === null || typeof value !== "object") return value;
  if (typeof value.deflated === "string") {
    if (!(value.length >= 0 && value.length <= 1 << 22)) throw new Error("pixels of an odd length");
    return fromText(value.deflated, value.length);
  }
  return Object.fromEntries(await Promise.all(Object.entries(value).map(async ([name, each]) => [name, await unpacked(each)])));
}

// The strokes are written as they are: tens of thousands of small arrays need no promises.
export async function projectFile(state) {
  const { strokes, ...sketch } = state.sketch;
  const body = { ...(await packed({ ...state, sketch })), strokes };
  return new Blob([JSON.stringify({ format: NAME, version: VERSION, ...body })], { type: "application/json" });
}

const isPixels = (value) => value instanceof Uint8Array && value.length === SIDE * SIDE;
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isStroke = (stroke) =>
  stroke &&
  ["pencil", "eraser"].includes(stroke.tool) &&
  isNumber(stroke.radius) &&
  Array.isArray(stroke.points) &&
  stroke.points.length > 0 &&
  stroke.points.every((point) => Array.isArray(point) && point.length === 3 && point.every(isNumber));

// The state of a project file, checked; what is not known of it is left out by ``fit``.
export async function readProject(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("it is no project: not JSON");
  }
  if (value?.format !== NAME) throw new Error("it is no project of the studio");
  if (value.version !== VERSION) throw new Error(`it is a project of version ${value.version}; this page reads ${VERSION}`);
  const { strokes, ...rest } = value;
  const state = await unpacked(rest).catch((error) => {
    throw new Error(`the project is damaged: ${error.message}`);
  });
  if (!state.sketch || !state.map || ![state.sketch.base, state.sketch.pixels, state.map.pixels].every(isPixels))
    throw new Error("the project is damaged: it lacks pixels");
  if (!Array.isArray(strokes) || strokes.length > MOST_STROKES || !strokes.every(isStroke))
    throw new Error("the project is damaged: it has odd strokes");
  state.sketch.strokes = strokes;
  return state;
}
