// One step of a recurrent network in WebAssembly, its state carried from step to step. Needs nothing else.

/** A piece of a text of subwords: letters, digits or other signs with a space before them, or white space. */
const PIECE = new RegExp(
  " ?(?:[a-zA-Z\\u{80}-\\u{10FFFF}]+|[0-9]+|[^a-zA-Z\\u{80}-\\u{10FFFF}0-9\\t-\\r ]+)|[\\t-\\r ]+(?= [^\\t-\\r ])|[\\t-\\r ]+", "gu");

/** Symbols and tokens, by the rules of the cell file. */
class Vocabulary {
  /**
   * @param {object} meta the cell's metadata: "tuirnn.vocab", "tuirnn.unk", "tuirnn.opening"
   * @param {number[][]} wordRanges first and last code point of what words are made of; for words alone
   */
  constructor(meta, wordRanges = []) {
    const { kind, symbols, merges = [] } = meta["tuirnn.vocab"];
    Object.assign(this, { kind, symbols, unk: meta["tuirnn.unk"], wordRanges });
    this.ofBytes = kind === "byte" || kind === "bpe";
    this.size = this.ofBytes ? 256 + merges.length : symbols.length + 1;
    this.bytes = this.ofBytes ? Array.from({ length: 256 }, (_, byte) => [byte]) : []; // of each token
    for (const [one, two] of merges) this.bytes.push([...this.bytes[one], ...this.bytes[two]]);
    this.merged = new Map(merges.map(([one, two], k) => [one * this.size + two, 256 + k]));
    this.index = new Map(symbols.map((symbol, token) => [symbol, token]));
    this.opening = meta["tuirnn.opening"] ?? null;
  }

  /** Cuts a text: [{start, end, tokens}], places in UTF-16 units; what is of bytes has several tokens. */
  cut(text) {
    if (this.kind === "bpe") {
      return Array.from(text.replace(/\p{Cs}/gu, "?").matchAll(PIECE), ({ 0: piece, index }) =>
        ({ start: index, end: index + piece.length, tokens: this.merge(new TextEncoder().encode(piece)) }));
    }
    const pieces = [];
    for (const symbol of text) {
      const last = pieces.at(-1), start = last?.end ?? 0, joins = this.kind === "word" && this.isWord(symbol);
      if (joins && last?.word) last.end += symbol.length;
      else pieces.push({ start, end: start + symbol.length, word: joins });
    }
    for (const piece of pieces) piece.tokens = this.tokensOf(text.slice(piece.start, piece.end));
    return pieces;
  }

  encode(text) {
    return this.cut(text).flatMap((piece) => piece.tokens);
  }

  tokensOf(symbol) {
    if (this.kind !== "byte") return [this.index.get(symbol) ?? this.unk];
    return Array.from(new TextEncoder().encode(/^[\uD800-\uDFFF]$/.test(symbol) ? "?" : symbol)); // half a character
  }

  /** The tokens of a piece: the pair that comes first in the list of merges is replaced until none is in it. */
  merge(bytes) {
    let ids = Array.from(bytes);
    for (;;) {
      const ranks = ids.map((id, at) => this.merged.get(id * this.size + ids[at + 1]) ?? Infinity);
      const best = ranks.reduce((a, b) => Math.min(a, b), Infinity);
      if (best === Infinity) return ids;
      const after = [];
      for (let at = 0; at < ids.length; at++) {
        const joins = at + 1 < ids.length && this.merged.get(ids[at] * this.size + ids[at + 1]) === best;
        after.push(joins ? best : ids[at]);
        if (joins) at++;
      }
      ids = after;
    }
  }

  isWord(symbol) {
    const point = symbol.codePointAt(0);
    let low = 0, high = this.wordRanges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (point > this.wordRanges[middle][1]) low = middle + 1;
      else high = middle;
    }
    return low < this.wordRanges.length && point >= this.wordRanges[low][0];
  }

  /** Whether a token is whole characters, so that it can be shown alone. */
  isWhole(token) {
    try {
      return !this.ofBytes || new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(this.bytes[token])) !== "";
    } catch {
      return false;
    }
  }

  /** A decoder of tokens one by one: of bytes it returns "" until a character is whole. */
  decoder() {
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    return (token) => this.ofBytes ? utf8.decode(Uint8Array.from(this.bytes[token]), { stream: true })
      : this.symbols[token] ?? "�";
  }

  decode(tokens) {
    return Array.from(tokens, this.decoder()).join("");
  }
}

/** A network at a moment of its sequence. */
class Cell {
  /**
   * @param {BufferSource} module of `tuirnn export --wasm`
   * @param {object} meta its metadata, as in the JSON file beside a cell file
   * @param {number[][]} wordRanges see Vocabulary
   */
  static async load(module, meta, wordRanges) {
    const { instance } = await WebAssembly.instantiate(module);
    return new Cell(instance.exports, meta, wordRanges);
  }

  constructor(exports, meta, wordRanges) {
    this.meta = meta;
    const { columns = [], periods = [] } = meta["tuirnn.normalisation"] ?? {};
    Object.assign(this, { columns, periods });
    this.vocab = columns.length ? null : new Vocabulary(meta, wordRanges);
    this.classes = meta["tuirnn.classes"] ?? [];
    const floats = (at, count) => new Float32Array(exports.memory.buffer, at.value, count);
    const sizes = Object.values(meta["tuirnn.state_map"]).map((name) => meta.inputs[name].shape).map((shape) =>
      shape.reduce((product, size, axis) => axis === shape.length - 2 ? product : product * size, 1)); // without the batch axis
    this.answer = floats(exports.answer, columns.length || this.classes.length || this.vocab.size);
    this.input = floats(exports.input, columns.length + 2 * periods.length);
    this.parts = sizes.map((size, i) => floats(exports[`state_${i}`], size));
    this.run = exports.step;
    this.zeros = this.first = this.save();
    if (meta["tuirnn.state_init"] !== "zeros") {
      const begin = meta["tuirnn.state_init"];
      const parts = Object.values(meta["tuirnn.state_map"]).map((name) => Float32Array.from(begin[name].flat()));
      this.first = [this.zeros[0], ...parts];
      this.reset();
    }
  }

  /**
   * Reads a token, or a point as an array of numbers.
   * @param {number | number[]} read a point may hold its calendar already
   * @param {number} next the time of the next point, the one that is forecast, in seconds since 1970; of a network with
   *   `periods` alone
   * @returns {Float32Array} the logits or the next point, which the next step overwrites
   */
  step(read, next) {
    if (this.columns.length) {
      const fed = this.periods.length && next !== undefined ? [...read, ...this.calendar(next)] : read;
      if (fed.length !== this.input.length) {
        throw new RangeError(`a point has ${this.columns.length} numbers${this.periods.length ? ", and the next one's time" : ""}`);
      }
      this.input.set(fed);
      this.run(0);
    } else {
      if (!(Number.isInteger(read) && read >= 0 && read < this.vocab.size)) throw new RangeError(`${read} is no token`);
      this.run(read);
    }
    return this.answer;
  }

  /** What a network with `periods` reads beside a point: sine and cosine of the next point's time for each period. */
  calendar(next) {
    return this.periods.flatMap((period) => {
      const angle = (2 * Math.PI * (next % period)) / period;
      return [Math.sin(angle), Math.cos(angle)];
    });
  }

  /** Reads a text; returns the logits after it. */
  read(text) {
    for (const token of this.vocab.encode(text)) this.step(token);
    return this.answer;
  }

  /** Goes to the state before the first token: zeros, or where the prime ends that the network has read. */
  reset() {
    this.restore(this.first);
  }

  /** A copy of the state and the answer, to come back to. */
  save() {
    return [this.answer.slice(), ...this.parts.map((part) => part.slice())];
  }

  restore([answer, ...parts]) {
    this.answer.set(answer);
    this.parts.forEach((part, i) => part.set(parts[i]));
  }

  /** Probabilities of the logits; the unknown symbol has none where tokens are chosen. */
  probabilities(temperature = 1) {
    const unk = this.classes.length ? null : this.vocab.unk;
    const logits = Float64Array.from(this.answer, (logit, i) => i === unk ? -Infinity : logit);
    const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!(temperature > 0)) {
      const best = logits.indexOf(most);
      return logits.map((_, i) => Number(i === best));
    }
    const weights = logits.map((logit) => Math.exp((logit - most) / temperature));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => weight / total);
  }

  /** Chooses the next token: temperature 0 is the likeliest; `uniform` in [0, 1). */
  choose(temperature = 1, uniform = Math.random()) {
    const p = this.probabilities(temperature);
    let running = 0, last = 0;
    for (let i = 0; i < p.length; i++) {
      if (p[i] > 0) last = i;
      if ((running += p[i]) > uniform) return i;
    }
    return last;
  }

  /** Whether this machine reproduces the file's test vector. */
  verify() {
    const { tokens, logits, x, y, atol } = this.meta["tuirnn.test_vector"], now = this.save();
    this.restore(this.zeros);
    for (const read of tokens ?? x) this.step(read);
    const expected = logits ?? y, std = this.meta["tuirnn.normalisation"]?.std;
    const scale = Math.max(1, ...expected.map(Math.abs));
    const right = expected.every((value, i) =>
      Math.abs(this.answer[i] - value) <= (std ? atol * std[i] + 1e-5 * Math.abs(value) : atol * scale));
    this.restore(now);
    return right;
  }
}

export { Vocabulary, Cell };
