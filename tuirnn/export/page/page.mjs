// What every page has in common: the network out of the document, what it has read, and small helpers.
import { Cell } from "./cell.mjs";

const KEPT_EVERY = 32; // steps between states that are kept: any moment is at most so many steps from one

/** What a cell has read, one item a moment, so that any moment can be gone back to. */
class Reading {
  /** @param {(item: any) => any} take reads one item; what it returns is kept in `notes` */
  constructor(cell, take) {
    Object.assign(this, { cell, take, items: [], notes: [] });
    this.start = cell.save();
    this.kept = [this.start];
  }

  /** Reads these items instead of what was read; a common beginning is not read again. */
  replace(items, same = (a, b) => a === b) {
    let kept = 0;
    while (kept < items.length && kept < this.items.length && same(items[kept], this.items[kept])) kept++;
    this.goTo(kept);
    this.items = items;
    this.notes.length = kept;
    this.kept.length = Math.floor(kept / KEPT_EVERY) + 1;
    for (let i = kept; i < items.length; i++) {
      this.notes.push(this.take(items[i]));
      if ((i + 1) % KEPT_EVERY === 0) this.kept.push(this.cell.save());
    }
  }

  /** Puts the cell where so many items have been read. */
  goTo(moment) {
    const nearest = Math.floor(moment / KEPT_EVERY);
    this.cell.restore(this.kept[nearest]);
    for (let i = nearest * KEPT_EVERY; i < moment; i++) this.take(this.items[i]);
  }
}

/** What a page has that reads the text in its box, piece by piece; `show(moment)` draws the moment after so many. */
class TextReader {
  /** @param {(piece: object) => any} take see Reading */
  constructor(cell, about, take) {
    Object.assign(this, { cell, about, moment: 0, pieces: [] });
    cell.reset();
    if (cell.vocab.opening !== null) cell.step(cell.vocab.opening);
    this.reading = new Reading(cell, take);
    $("text").value = about.begin;
    for (const name of ["input", "click", "keyup", "select"]) $("text").addEventListener(name, () => this.changed());
    $("moment").addEventListener("input", () => this.rewind(Number($("moment").value)));
  }

  /** The text or the place in it may have changed: reads what is new, and shows the moment of the place. */
  changed() {
    const text = $("text").value, at = $("text").selectionEnd;
    if (text !== this.text) {
      this.text = text;
      this.pieces = this.cell.vocab.cut(text);
      this.reading.replace(this.pieces, (a, b) => a.tokens.join() === b.tokens.join());
      $("moment").max = this.pieces.length;
      this.replaced();
    } else if (at === this.at) return;
    this.at = at;
    this.show(this.pieces.findLastIndex((piece) => piece.end <= at) + 1);
  }

  /** Another text has been read. */
  replaced() {}

  rewind(moment) {
    this.show(moment);
  }

  /** What a piece is in the text. */
  source(piece) {
    return this.text.slice(piece.start, piece.end);
  }
}

const $ = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** An SVG element with attributes. */
function drawn(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const SPELT = { " ": "space", "\n": "new line", "\t": "tab", "\r": "return" };

/** A symbol that can be seen. */
function visible(symbol) {
  if (symbol in SPELT) return SPELT[symbol];
  return /^[\p{C}\p{Z}\p{M}]+$/u.test(symbol)
    ? Array.from(symbol, (c) => `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`).join(" ") : symbol;
}

function percent(p) {
  return p >= 0.9995 ? "100 %" : p >= 0.0995 ? `${(100 * p).toFixed(0)} %` : `${(100 * p).toFixed(1)} %`;
}

/**
 * Shows the largest of some probabilities as bars.
 * @param {HTMLElement} list
 * @param {{name: string, p: number, pick?: () => void, colour?: number}[]} bars
 */
function showBars(list, bars) {
  const rows = bars.map(({ name, p, pick, colour }) => {
    const bar = element("span", { className: `bar c${colour ?? 0}` });
    bar.style.width = `${100 * p}%`;
    const parts = [element("span", { className: "name" }, name), element("span", { className: "track" }, bar),
      element("span", { className: "share" }, percent(p))];
    const row = pick ? element("button", { type: "button", onclick: pick }, ...parts) : element("div", {}, ...parts);
    row.className = "row";
    return element("li", {}, row);
  });
  const focused = Array.from(list.children).findIndex((row) => row.contains(document.activeElement));
  list.replaceChildren(...rows);
  if (focused >= 0) rows[Math.min(focused, rows.length - 1)]?.querySelector("button")?.focus();
}

/** The network in this document. */
async function openCell() {
  const about = JSON.parse($("about").textContent);
  const bytes = Uint8Array.from(atob($("network").textContent.trim()), (c) => c.charCodeAt(0));
  const cell = await Cell.load(bytes, about.meta, about.words);
  if (!cell.verify()) throw new Error("This browser does not reproduce the network's test vector.");
  return { cell, about };
}

/** Steps a second of this browser. */
function measure(cell, seconds = 0.15) {
  const now = cell.save();
  const read = cell.columns.length ? [...cell.meta["tuirnn.normalisation"].mean, ...cell.calendar(0)] : 0;
  const began = performance.now();
  let steps = 0;
  while (performance.now() - began < 1000 * seconds) for (let i = 0; i < 100; i++, steps++) cell.step(read);
  cell.restore(now);
  return steps / ((performance.now() - began) / 1000);
}

/** Opens the page: `show` gets the cell; a failure is told in the page. */
async function begin(show) {
  try {
    const { cell, about } = await openCell();
    show(cell, about);
    document.body.dataset.ready = String(Math.round(performance.now()));
    setTimeout(() => {
      measure(cell, 0.1); // until the browser has compiled what is hot
      $("speed").textContent = `${Math.round(measure(cell)).toLocaleString("en")} steps a second here`;
    }, 400);
    Object.assign(window, { tuirnn: { cell, measure: (seconds) => measure(cell, seconds) } });
  } catch (error) {
    $("failure").textContent = `The network cannot run here: ${error.message}`;
    $("failure").hidden = false;
  }
}

export { $, Reading, TextReader, element, drawn, visible, percent, showBars, openCell, measure, begin };
