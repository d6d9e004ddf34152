// A network that answers with classes: of a whole sequence, or of each of its words.
import { $, TextReader, begin, drawn, element, percent, showBars, visible } from "./page.mjs";

const SHOWN = 12, LINES = 4;
const OUTSIDE = "O"; // the tag of words in no span

/** What a tag names, without the prefix that says where in a span its word is. */
const kind = (tag) => tag.replace(/^[BIESLU]-/, "");

class Judge extends TextReader {
  constructor(cell, about) {
    super(cell, about, (piece) => {
      for (const token of piece.tokens) cell.step(token);
      return cell.probabilities();
    });
    const kinds = [...new Set(cell.classes.map(kind))].filter((name) => name !== OUTSIDE);
    this.colours = cell.classes.map((name) => Math.max(kinds.indexOf(kind(name)), 0) % 8);
    this.changed();
  }

  show(moment) {
    this.moment = moment;
    const { cell, reading } = this, p = reading.notes[moment - 1];
    $("moment").value = moment;
    $("where").textContent = p ? `after ${moment} of ${this.pieces.length}: “${visible(this.source(this.pieces[moment - 1]))}”`
      : `before the first ${this.about.unit}: it has not judged yet`;
    if (this.about.each) this.tags();
    else this.curves();
    if (!p) {
      $("verdict").textContent = "–";
      $("next").replaceChildren();
      return;
    }
    const best = Array.from(p.keys()).sort((a, b) => p[b] - p[a]);
    $("verdict").textContent = `${cell.classes[best[0]]}, ${percent(p[best[0]])}`;
    const colours = this.likely();
    showBars($("next"), best.slice(0, SHOWN).map((i) =>
      ({ name: cell.classes[i], p: p[i], colour: this.about.each ? this.colours[i] : Math.max(colours.indexOf(i), 0) })));
  }

  /** The classes that are the likeliest at the end, which have lines in the chart. */
  likely() {
    const last = this.reading.notes.at(-1);
    return last ? Array.from(last.keys()).sort((a, b) => last[b] - last[a]).slice(0, LINES) : [];
  }

  /** The probabilities of the likeliest classes after each symbol. */
  curves() {
    const { notes } = this.reading, wide = 100, high = 40, likely = this.likely();
    const x = (i) => notes.length > 1 ? (wide * i) / (notes.length - 1) : wide / 2;
    const lines = likely.map((c, colour) => drawn("polyline", {
      points: notes.map((p, i) => `${x(i).toFixed(2)},${(high * (1 - p[c])).toFixed(2)}`).join(" "), class: `line c${colour}`,
      "vector-effect": "non-scaling-stroke",
    }));
    const here = this.moment ? [drawn("line", { x1: x(this.moment - 1), x2: x(this.moment - 1), y1: 0, y2: high, class: "here",
      "vector-effect": "non-scaling-stroke" })] : [];
    $("chart").replaceChildren(...here, ...lines);
    $("chart").setAttribute("aria-label", notes.length ? `Probability after each ${this.about.unit}. At the end: `
      + likely.map((c) => `${this.cell.classes[c]} ${percent(notes.at(-1)[c])}`).join(", ") : "Nothing has been read");
    $("key").replaceChildren(...likely.map((c, colour) =>
      element("span", {}, element("i", { className: `dot c${colour}` }), this.cell.classes[c])));
  }

  /** The text with the likeliest tag over each word, that after its last token. */
  tags() {
    const { classes } = this.cell, parts = [];
    let i = 0;
    while (i < this.pieces.length) {
      let end = i + 1;
      const blank = /^\s/.test(this.text.slice(this.pieces[i].start));
      while (end < this.pieces.length && /^\s/.test(this.text.slice(this.pieces[end].start)) === blank) end++;
      const text = this.text.slice(this.pieces[i].start, this.pieces[end - 1].end);
      parts.push(blank ? text : this.tagged(text, end));
      i = end;
    }
    $("tagged").replaceChildren(...parts);
    const used = new Map(this.reading.notes.map((p) => p.indexOf(Math.max(...p))).filter((c) => classes[c] !== OUTSIDE)
      .map((c) => [kind(classes[c]), this.colours[c]]));
    $("key").replaceChildren(...Array.from(used, ([name, colour]) =>
      element("span", {}, element("i", { className: `dot c${colour}` }), name)));
  }

  tagged(text, end) {
    const p = this.reading.notes[end - 1], best = p.indexOf(Math.max(...p)), name = this.cell.classes[best];
    const outside = name === OUTSIDE;
    const made = element("ruby", { className: outside ? "tag outside" : `tag t${this.colours[best]}` },
      text, element("rt", {}, outside ? "" : name));
    made.title = `${name}, ${percent(p[best])}`;
    return made;
  }
}

begin((cell, about) => new Judge(cell, about));
