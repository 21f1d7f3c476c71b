// Styles: the strip of faces, how a style is mixed in, and the command that gives the same face.

const $ = (id) => document.getElementById(id);
const COUNT = 8;
const MOST_SEED = 2 ** 32 - 1;
const NAMES = { cloth: "Clothes" };
const UNSET = "#808080";

const isSame = (one, other) => one.source === other.source && (one.source !== "random" || (one.seed === other.seed && one.number === other.number));

export class StylePanel {
  // ``change`` and ``changeStrip`` take a part of the state and what was done; ``seal`` ends a slider's run.
  constructor({ element, iconOf, drawFace, change, changeStrip, seal }) {
    Object.assign(this, { element, iconOf, drawFace, change, changeStrip });
    this.tiles = [];
    for (const name of ["alpha", "truncation", "follow"]) {
      $(name).oninput = () => this.change({ [name]: Number($(name).value) }, name, name);
      $(name).onchange = seal;
    }
    $("layers").onchange = () => {
      $("own-layers-label").hidden = $("layers").value !== "own";
      this.change({ layers: $("layers").value === "own" ? $("own-layers").value : $("layers").value }, "layers");
    };
    $("own-layers").onchange = () => this.change({ layers: $("own-layers").value }, "layers");
    $("seed").onchange = () => {
      const seed = Math.floor(Number($("seed").value));
      if (seed >= 0 && seed <= MOST_SEED) this.changeStrip({ seed }, `seed ${seed}`);
      else $("seed").value = this.strip.seed;
    };
    $("colours").oninput = ({ target }) => this.colour(target.dataset.region, target.value);
    $("colours").onchange = seal;
    $("colours").onclick = ({ target }) => {
      const region = target.closest("button")?.dataset.region;
      if (region) this.colour(region, null);
    };
    $("reroll").onclick = () => this.changeStrip({ seed: (this.strip.seed + 1) % (MOST_SEED + 1) }, "other styles");
  }

  // The strip: the encoder's style, a given one if there is one, those locked, and random ones of the seed.
  show({ style, strip }) {
    this.strip = strip;
    this.style = style;
    const random = Array.from({ length: COUNT }, (_, number) => ({ source: "random", seed: strip.seed, number }));
    const locked = strip.locked.map((each) => ({ source: "random", ...each }));
    const others = random.filter((each) => !locked.some((one) => isSame(one, each)));
    const tiles = [{ source: "own" }, ...(style.latents ? [{ source: "given" }] : []), ...locked, ...others].slice(0, COUNT + 1);
    if (JSON.stringify(tiles) !== JSON.stringify(this.tiles)) this.build(tiles);
    this.tiles.forEach((tile, index) => {
      const [choose, , lock] = $("strip").children[index].children;
      choose.setAttribute("aria-checked", String(isSame(tile, style)));
      if (lock) {
        const isLocked = locked.some((one) => isSame(one, tile));
        lock.setAttribute("aria-pressed", String(isLocked));
        lock.replaceChildren(this.iconOf(isLocked ? "i-lock" : "i-open-lock"));
      }
    });
    for (const input of $("colours").querySelectorAll("input")) {
      const colour = style.colours[input.dataset.region];
      input.value = colour ?? UNSET;
      input.classList.toggle("unset", !colour);
      input.closest("span").querySelector("button").hidden = !colour;
    }
    const isOther = style.source !== "own";
    for (const name of ["alpha", "truncation", "follow"]) {
      $(name).value = style[name];
      $(`${name}-value`).textContent = `${Math.round(100 * style[name])} %`;
    }
    $("alpha").disabled = $("layers").disabled = !isOther;
    const named = [...$("layers").options].some((option) => option.value === style.layers && option.value !== "own");
    $("layers").value = named ? style.layers : "own";
    $("own-layers-label").hidden = named;
    if (!named) $("own-layers").value = style.layers;
    $("seed").value = strip.seed;
  }

  nameOf(tile, index) {
    if (tile.source === "own") return "Its own";
    if (tile.source === "given") return "Given";
    return tile.seed === this.strip.seed ? `${tile.number + 1}` : `${tile.seed}.${tile.number + 1}` || String(index);
  }

  build(tiles) {
    const { element } = this;
    const kept = new Map(this.tiles.map((tile, index) => [JSON.stringify(tile), $("strip").children[index].querySelector("canvas")]));
    this.tiles = tiles;
    $("strip").replaceChildren(
      ...tiles.map((tile, index) => {
        const name = this.nameOf(tile, index);
        const canvas = kept.get(JSON.stringify(tile)) ?? element("canvas", { width: 1, height: 1 });
        const choose = element("button", { type: "button" }, canvas);
        choose.setAttribute("role", "radio");
        choose.setAttribute("aria-label", tile.source === "random" ? `Style ${name}` : `${name} style`);
        choose.onclick = () => this.choose(index);
        const figure = element("figure", { className: "tile" }, choose, element("figcaption", { textContent: name }));
        figure.style.margin = 0;
        if (tile.source === "random") {
          const lock = element("button", { type: "button", className: "lock", title: "Keep this style in the strip" });
          lock.setAttribute("aria-label", `Keep style ${name}`);
          lock.onclick = () => this.lock(index);
          figure.append(lock);
        }
        return figure;
      }),
    );
    for (const [id, chosen] of [["film-from", 0], ["film-to", 1]]) {
      const before = $(id).value;
      const names = tiles.map((tile, index) => element("option", { value: index, textContent: this.nameOf(tile, index).toLowerCase() }));
      $(id).replaceChildren(...names);
      $(id).value = before !== "" && before < tiles.length ? before : chosen;
    }
  }

  styleOf(index) {
    return this.tiles[index];
  }

  choose(index) {
    const tile = this.tiles[index];
    const colours = tile?.source === "random" ? this.style.colours : {};
    if (tile && !isSame(tile, this.style)) this.change({ seed: 0, number: 0, ...tile, colours }, `style ${this.nameOf(tile, index).toLowerCase()}`);
  }

  // The regions whose colours the model's styles have.
  offerColours(regions) {
    $("colours").hidden = !regions.length;
    if ($("colours").dataset.regions === regions.join()) return;
    $("colours").dataset.regions = regions.join();
    $("colours").replaceChildren(
      ...regions.map((region) => {
        const name = NAMES[region] ?? region[0].toUpperCase() + region.slice(1);
        const input = this.element("input", { type: "color", value: UNSET });
        const without = this.element("button", { type: "button", textContent: "\u00d7", title: `${name}: as the style has it` });
        without.setAttribute("aria-label", `${name}: as the style has it`);
        input.dataset.region = without.dataset.region = region;
        return this.element("span", {}, this.element("label", {}, name, input), without);
      }),
    );
  }

  // A colour is part of a random style: of the chosen one, or of the strip's first.
  colour(region, colour) {
    const { [region]: _, ...others } = this.style.colours;
    const colours = colour ? { ...others, [region]: colour } : others;
    const random = this.style.source === "random" ? {} : { source: "random", seed: this.strip.seed, number: 0 };
    this.change({ ...random, colours }, `colour of ${region}`, `colour ${region}`);
  }

  lock(index) {
    const { seed, number } = this.tiles[index];
    const without = this.strip.locked.filter((each) => each.seed !== seed || each.number !== number);
    const isLocked = without.length < this.strip.locked.length;
    this.changeStrip({ locked: isLocked ? without : [...without, { seed, number }].slice(-COUNT) }, isLocked ? "style let go" : "style kept");
  }


  showTile(tile) {
    const canvas = $("strip").children[tile.index]?.querySelector("canvas");
    if (!canvas) return;
    Object.assign(canvas, { width: tile.width, height: tile.height });
    this.drawFace(canvas, tile);
    canvas.dataset.revision = tile.revision;
  }

  canvases() {
    return [...$("strip").querySelectorAll("canvas")];
  }
}

// The command that gives the face on the page, from the drawing that the page saves.
export function commandOf({ kind, style, strip }, model) {
  const file = kind === "map" ? "map.png" : "sketch.png";
  const source = /^[\w./-]+$/.test(model.source) ? model.source : `'${model.source.replaceAll("'", "'\\''")}'`;
  const words = ["facesynth translate", file, "--checkpoint", source];
  const note = [`Download the drawing as ${file} first.`];
  if (kind === "sketch") words.push("--tone keep --paper keep");
  if (style.source === "random") {
    words.push(`--samples ${style.number + 1} --seed ${style.seed}`);
    for (const region of model.colours) if (style.colours[region]) words.push(`--colour ${region}=${style.colours[region]}`);
    note.push(`The face is the last one, number ${style.number}.`);
  } else if (style.source === "given") {
    words.push("--style-from style.npy");
    note.push("Choose the given style at full strength in all layers and download the latents as style.npy.");
  }
  if (style.source !== "own") {
    if (style.layers) words.push(`--mix-layers ${style.layers.replaceAll(" ", "")}`);
    if (style.alpha !== 1) words.push(`--mix-alpha ${style.alpha}`);
  }
  if (style.truncation !== 1) words.push(`--truncation ${style.truncation}`);
  if (style.follow !== 1 && model.follows) words.push(`--follow ${style.follow}`);
  return { command: [...words, "--out faces"].join(" "), note: note.join(" ") };
}
