// Bringing a picture: which one, which square of it, and what it is.

const $ = (id) => document.getElementById(id);
const VIEW = 320;
const MOST_BYTES = 30 << 20;

export class Importer {
  // ``read`` takes the file's bytes, {use, method, crop} and the purpose, and fails with what is wrong.
  constructor(dialog, { read }) {
    Object.assign(this, { dialog, read });
    this.canvas = $("crop");
    this.slider = $("crop-size");
    $("picture-file").onchange = (event) => this.take(event.target.files[0]);
    $("import-cancel").onclick = () => dialog.close();
    $("import-go").onclick = () => this.go();
    this.slider.oninput = () => this.resize(Number(this.slider.value) / 100);
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.from = [event.clientX, event.clientY];
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.from) return;
      const unit = this.side / this.canvas.clientWidth;
      this.shift((this.from[0] - event.clientX) * unit, (this.from[1] - event.clientY) * unit);
      this.from = [event.clientX, event.clientY];
    });
    this.canvas.addEventListener("pointerup", () => (this.from = null));
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (step) this.shift((step[0] * this.side) / 32, (step[1] * this.side) / 32);
      else if (event.key === "+" || event.key === "-") this.resize(this.share * (event.key === "+" ? 0.95 : 1 / 0.95));
      else return;
      event.preventDefault();
    });
    dialog.addEventListener("close", () => {
      this.bitmap?.close();
      this.bitmap = this.bytes = null;
    });
  }

  methods(names) {
    $("method").replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name, textContent: name })));
    $("method").value = "xdog:pencil";
  }

  open(kind, purpose, file = null) {
    Object.assign(this, { kind, purpose, bytes: null });
    $("import-title").textContent = purpose === "style" ? "Style from a picture" : "From a picture";
    $("import-error").textContent = "";
    $("import-go").disabled = true;
    $("picture-file").value = "";
    this.dialog.querySelector(".cropping").hidden = true;
    for (const input of this.inputs()) input.checked = input.value === "photo";
    this.dialog.showModal();
    if (file) this.take(file);
  }

  inputs() {
    return [...this.dialog.querySelectorAll("[name=use]")].filter((input) => input.closest("[data-for]").dataset.for === this.kind);
  }

  async take(file) {
    if (!file) return;
    $("import-error").textContent = "";
    if (file.size > MOST_BYTES) {
      $("import-error").textContent = `the file has ${file.size >> 20} MiB; needed: at most ${MOST_BYTES >> 20}`;
      return;
    }
    this.bytes = new Uint8Array(await file.arrayBuffer());
    this.bitmap?.close();
    this.bitmap = await createImageBitmap(file).catch(() => null); // a kind that this browser does not know
    this.dialog.querySelector(".cropping").hidden = !this.bitmap;
    if (this.bitmap) {
      const { width, height } = this.bitmap;
      this.longer = Math.max(width, height);
      this.share = Math.min(width, height) / this.longer;
      this.centre = [width / 2, height / 2];
      this.resize(width === height ? 1 : this.share);
    }
    $("import-go").disabled = false;
  }

  get side() {
    return Math.max(1, Math.round(this.longer * this.share));
  }

  get crop() {
    return [Math.round(this.centre[0] - this.side / 2), Math.round(this.centre[1] - this.side / 2), this.side];
  }

  resize(share) {
    this.share = Math.min(1.5, Math.max(0.1, share));
    this.slider.value = 100 * this.share;
    this.slider.nextElementSibling.textContent = `${Math.round(100 * this.share)} %`;
    this.draw();
  }

  shift(dx, dy) {
    const { width, height } = this.bitmap;
    this.centre = [Math.min(width, Math.max(0, this.centre[0] + dx)), Math.min(height, Math.max(0, this.centre[1] + dy))];
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const [left, top, side] = this.crop;
    const scale = VIEW / side;
    context.fillStyle = "#888";
    context.fillRect(0, 0, VIEW, VIEW);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.bitmap, -left * scale, -top * scale, this.bitmap.width * scale, this.bitmap.height * scale);
  }

  async go() {
    const { value: use } = this.inputs().find((input) => input.checked);
    const options = { use };
    if (use === "photo" && this.kind === "sketch") options.method = $("method").value;
    if (this.bitmap) options.crop = this.crop;
    $("import-go").disabled = true;
    $("import-error").textContent = "";
    try {
      await this.read(this.bytes, options, this.purpose);
      this.dialog.close();
    } catch (error) {
      $("import-error").textContent = error.message;
      $("import-go").disabled = false;
    }
  }
}
