// The keyboard shortcuts: one table, from which the help is made, too. Keys are those that the keyboard's layout gives.

const KEYS = [
  ["Ctrl+z", "undo", "Undo"],
  ["Ctrl+Z", "redo", "Redo"],
  ["Ctrl+y", "redo", null],
  ["Ctrl+s", "save", "Save the project"],
  ["Ctrl+o", "open", "Open a project"],
  ["m", "mode", "Sketch or label map"],
  ["b", "draw", "Pencil or brush"],
  ["e", "tool", "Eraser", "eraser"],
  ["g", "tool", "Bucket", "bucket"],
  ["l", "tool", "Polygon", "polygon"],
  ["i", "tool", "Pick a class", "picker"],
  ["v", "tool", "Move and scale", "move"],
  ["[", "size", "Smaller pen", -1],
  ["]", "size", "Larger pen", 1],
  ["s", "toggle", "Symmetry", "symmetric"],
  ["t", "toggle", "Guide lines", "guides"],
  ["d", "toggle", "Light on dark", "dark"],
  ["p", "toggle", "Patterns", "patterns"],
  [",", "class", "Previous class", -1],
  [".", "class", "Next class", 1],
  ["x", "protect", "Protect the class"],
  ["r", "reroll", "Other random styles"],
  ["f", "film", "Play the film"],
  ["+", "zoom", "Zoom in", 1.25],
  ["-", "zoom", "Zoom out", 0.8],
  ["Home", "zoom", "Show all", 0],
  ["Delete", "clear", "Start again"],
  ["?", "help", "This list"],
  ...Array.from({ length: 9 }, (_, index) => [String(index), "style", null, index]),
];

const ONLY_SHOWN = [
  ["0 to 8", "Style of the drawing, or a random one"],
  ["Shift and draw", "A straight line"],
  ["Alt and click", "Pick a class"],
  ["Arrows", "Move the pen (Shift: far, Alt: a little)"],
  ["Space", "Pen down, pen up; fill; a corner"],
  ["Enter", "Close the polygon"],
  ["Escape", "Cancel"],
];

const shownKey = (key) => key.replace("Ctrl+Z", "Ctrl+Shift+Z").replace(/\+([a-z])$/, (_, letter) => `+${letter.toUpperCase()}`);

export function shortcutRows(element) {
  const rows = KEYS.filter(([, , text]) => text).map(([key, , text]) => [key.length === 1 ? key.toUpperCase() : shownKey(key), text]);
  return [...rows, ...ONLY_SHOWN].map(([key, text]) =>
    element("div", {}, element("span", { textContent: text }), element("kbd", { textContent: key })),
  );
}

const TYPED = "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select";

export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.defaultPrevented) return;
    const isCommand = event.ctrlKey || event.metaKey;
    if (!isCommand && (event.altKey || event.target.matches(TYPED))) return;
    const name = event.key.length === 1 && event.shiftKey && isCommand ? event.key.toUpperCase() : event.key;
    const plain = isCommand ? name : name.length === 1 ? name.toLowerCase() : name;
    const found = KEYS.find(([key]) => key === `${isCommand ? "Ctrl+" : ""}${plain}`);
    if (!found) return;
    const [, action, , value] = found;
    event.preventDefault();
    actions[action](value);
  });
}
