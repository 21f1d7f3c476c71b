// The engine: conditions and styles in, faces out. The page knows nothing else of where faces are made; another engine, such as
// one that runs in the browser, has these methods and calls the same functions of its listener.
//
//   face(condition, style, {urgent})   -> listener.face({pixels, width, height, revision, times})
//   strip(condition, styles)           -> listener.tile({..., index}) for each
//   film(condition, first, last, n)    -> resolves to {file}, after listener.frame({..., index, frames}) for each
//   latents(condition, style)          -> resolves to the bytes of a .npy file
//   read(model, bytes, options)        -> resolves to the pixels of a document, made of a picture
//   portrait(model, number)            -> resolves to the pixels of a drawn portrait's label map
//   listener.about(about), listener.online(isOnline), listener.wrong(message)
//
// A condition is {model, revision, pixels, side}; its pixels are sent once. A style is {source, seed, number, layers, alpha,
// truncation, follow, latents}, the last the bytes of a given style.

import { pack, unpack } from "./frames.js";

const FIRST_RETRY = 250; // ms
const LAST_RETRY = 2000;

function described(style) {
  const { latents, ...header } = style;
  return latents && style.source === "given" ? { ...header, bytes: latents.byteLength } : header;
}

const bytesOf = (styles) => styles.filter((each) => each.latents && each.source === "given").map((each) => each.latents);

export class RemoteEngine {
  constructor(listener) {
    this.listener = listener;
    this.number = 0;
    this.waiting = new Map(); // promises of films and latents by the number of their request
    this.underway = new Set(); // numbers of faces that have been asked for
    this.next = null; // the newest face that has not
    this.sent = new Map(); // the revision of every model's condition that the server has
    this.retry = FIRST_RETRY;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(`ws://${location.host}/engine`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onmessage = (event) => this.receive(unpack(event.data));
    socket.onclose = () => {
      this.underway.clear();
      this.sent.clear();
      this.next = null;
      for (const { reject } of this.waiting.values()) reject(new Error("the studio stopped; it is being waited for"));
      this.waiting.clear();
      this.listener.online(false);
      setTimeout(() => this.connect(), this.retry);
      this.retry = Math.min(2 * this.retry, LAST_RETRY);
    };
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  receive({ header, payload }) {
    const picture = { pixels: payload, ...header };
    if (header.kind === "about") {
      this.retry = FIRST_RETRY;
      this.listener.about(header);
      this.listener.online(true);
    } else if (header.kind === "face") {
      this.finished(header.id);
      this.listener.face(picture);
    } else if (header.kind === "strip") {
      if (header.id === this.newestStrip) this.listener.tile(picture);
    } else if (header.kind === "film") {
      this.listener.frame(picture);
    } else if (this.waiting.has(header.id)) {
      const { resolve, reject } = this.waiting.get(header.id);
      this.waiting.delete(header.id);
      if (header.kind === "error") reject(new Error(header.message));
      else resolve(payload);
    } else if (header.kind === "error") {
      this.finished(header.id);
      this.listener.wrong(header.message);
    }
  }

  // A face has come: whatever was asked for before it was overtaken and will not come.
  finished(id) {
    for (const each of this.underway) if (each <= id) this.underway.delete(each);
    if (this.next && !this.underway.size) {
      const { condition, style } = this.next;
      this.next = null;
      this.sendFace(condition, style);
    }
  }

  send(kind, condition, styles, more = {}) {
    if (!this.isOpen) return 0;
    const { model, revision } = condition;
    if (this.sent.get(model) !== revision) {
      const header = { kind: "condition", model, revision, width: condition.side, height: condition.side };
      this.socket.send(pack(header, condition.pixels));
      this.sent.set(model, revision);
    }
    const id = ++this.number;
    this.socket.send(pack({ kind, id, model, revision, styles: styles.map(described), ...more }, ...bytesOf(styles)));
    return id;
  }

  sendFace(condition, style) {
    const id = this.send("face", condition, [style]);
    if (id) this.underway.add(id);
  }

  // While a face is under way only the newest of the others is kept, unless it is urgent: then it is sent at once.
  face(condition, style, { urgent = false } = {}) {
    if (this.underway.size && !urgent) {
      this.next = { condition, style };
      return;
    }
    this.next = null;
    this.sendFace(condition, style);
  }

  strip(condition, styles) {
    this.newestStrip = this.send("strip", condition, styles);
  }

  ask(kind, condition, styles, more) {
    const id = this.send(kind, condition, styles, more);
    if (!id) return Promise.reject(new Error("the studio is not running"));
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  film(condition, first, last, frames) {
    return this.ask("film", condition, [first, last], { frames });
  }

  latents(condition, style) {
    return this.ask("latents", condition, [style]);
  }

  async post(path, header, payload = new Uint8Array()) {
    let reply;
    try {
      reply = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/octet-stream" },
        body: pack(header, payload),
      });
    } catch {
      throw new Error("the studio is not running");
    }
    if (!reply.ok) {
      const text = await reply.text();
      let message = text.trim();
      try {
        message = JSON.parse(text).message;
      } catch {
        // a refusal in plain text
      }
      throw new Error(message);
    }
    return unpack(await reply.arrayBuffer()).payload;
  }

  read(model, bytes, options) {
    return this.post("/picture", { model, ...options }, bytes);
  }

  portrait(model, number) {
    return this.post("/portrait", { model, number });
  }
}
