// A network that writes: it goes on where the text ends, and says of every character how much it surprised it.
import { $, TextReader, begin, element, percent, showBars, visible } from "./page.mjs";

const AHEAD = { char: 240, byte: 240, word: 60, bpe: 100 }; // tokens that it writes on
const A_FRAME = 4; // tokens that appear in a frame
const SHOWN = 10;
const LEVELS = [0.5, 1.5, 2.5, 4, 6]; // nats from which a surprise has the next colour

/** Uniform numbers of a seed (mulberry32), so that the same settings write the same text. */
function uniforms(seed) {
  return () => {
    seed = (seed + 0x6D2B79F5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class Writer extends TextReader {
  constructor(cell, about) {
    super(cell, about, (piece) => {
      let nats = 0;
      for (const token of piece.tokens) {
        nats -= Math.log(Math.max(cell.probabilities()[token], 1e-9));
        cell.step(token);
      }
      return nats;
    });
    Object.assign(this, { turn: 0, seed: 1, ghost: "" });
    $("text").addEventListener("scroll", () => { $("under").scrollTop = $("text").scrollTop; });
    $("text").addEventListener("keydown", (event) => this.key(event));
    $("temperature").addEventListener("input", () => this.goOn());
    $("colours").addEventListener("change", () => this.paint());
    $("take").addEventListener("click", () => this.takeAll());
    $("another").addEventListener("click", () => { this.seed++; this.goOn(); });
    this.changed();
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.takeAll();
    else if (event.key === "Escape") { this.seed++; this.goOn(); }
    else return;
    event.preventDefault();
  }

  show(moment) {
    this.moment = moment;
    this.goOn();
  }

  /** Goes back to the moment after so many pieces; the text stays until it is written on. */
  rewind(moment) {
    this.at = this.pieces[moment - 1]?.end ?? 0;
    $("text").setSelectionRange(this.at, this.at);
    this.show(moment);
  }

  takeAll() {
    this.insert(this.ghost, true);
  }

  /** Puts something where the moment is; taken from the network, it replaces what followed. */
  insert(text, replaces) {
    const box = $("text");
    box.value = box.value.slice(0, this.at) + text + (replaces ? "" : box.value.slice(this.at));
    box.setSelectionRange(this.at + text.length, this.at + text.length);
    this.changed();
    box.scrollTop = box.scrollHeight;
  }

  replaced() {
    const { vocab } = this.cell;
    const found = new Set(this.pieces.filter((piece) => piece.tokens[0] === vocab.unk).map((piece) => this.source(piece)));
    $("unknown").textContent = found.size
      ? `Not in its vocabulary, read as unknown: ${Array.from(found, visible).slice(0, 8).join("  ")}` : "";
  }

  /** Shows what comes next at this moment, and writes on, a few tokens a frame. */
  goOn() {
    const { cell } = this, turn = ++this.turn, random = uniforms(this.seed), decode = cell.vocab.decoder();
    this.reading.goTo(this.moment);
    $("degree").textContent = $("temperature").value;
    this.showNext();
    $("moment").value = this.moment;
    this.ghost = "";
    let left = AHEAD[cell.vocab.kind], state = cell.save();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const frame = () => {
      if (turn !== this.turn) return;
      cell.restore(state);
      const temperature = Number($("temperature").value), until = performance.now() + (still ? 1000 : 12);
      for (let i = 0; left && (still || i < A_FRAME) && performance.now() < until; i++, left--) {
        const token = cell.choose(temperature, random());
        cell.step(token);
        this.ghost += decode(token);
      }
      state = cell.save();
      this.paint();
      if (left) requestAnimationFrame(frame);
    };
    frame();
  }

  showNext() {
    const { cell } = this, p = cell.probabilities();
    const best = Array.from(p.keys()).sort((a, b) => p[b] - p[a]).slice(0, SHOWN);
    const name = (token) => cell.vocab.isWhole(token)
      ? visible(cell.vocab.decode([token])) : `bytes ${cell.vocab.bytes[token].join(" ")}`;
    showBars($("next"), best.map((token) => ({
      name: name(token), p: p[token],
      pick: cell.vocab.isWhole(token) ? () => this.insert(cell.vocab.decode([token]), true) : undefined,
    })));
    const piece = this.pieces[this.moment - 1], nats = this.reading.notes[this.moment - 1];
    const was = piece && visible(this.source(piece));
    $("where").textContent = piece
      ? `${this.moment} of ${this.pieces.length}: “${was}” was given ${percent(Math.exp(-nats))}` : "before the first " + this.about.unit;
  }

  /** Draws what lies under the text: colours of surprise, and the writing that goes on. */
  paint() {
    const coloured = $("colours").checked, ends = this.moment === this.pieces.length;
    const spans = this.pieces.map((piece, i) => element("span", {
      className: (coloured ? `s${LEVELS.filter((level) => this.reading.notes[i] >= level).length}` : "")
        + (i >= this.moment ? " after" : ""),
    }, this.source(piece)));
    $("under").replaceChildren(...spans, element("span", { className: "ghost" }, ends ? this.ghost : ""), "\n");
    $("under").scrollTop = $("text").scrollTop;
    $("aside").hidden = ends;
    $("aside").replaceChildren(element("span", { className: "quiet" },
      `… ${this.text.slice(Math.max(0, this.at - 24), this.at)}`), ends ? "" : this.ghost);
    $("legend").hidden = !coloured;
  }
}

begin((cell, about) => new Writer(cell, about));
