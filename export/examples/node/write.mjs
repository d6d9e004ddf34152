// Writes text with a tuirnn cell: node write.mjs CELL.onnx [PRIME] [LENGTH] [TEMPERATURE]
// onnxruntime-node hides an ONNX file's metadata: they are read from CELL.json beside it.
import { readFileSync } from "node:fs";
import ort from "onnxruntime-node";

const [path, prime = "The ", length = 400, temperature = 0.7] = process.argv.slice(2);
if (!path) {
  console.error("usage: node write.mjs CELL.onnx [PRIME] [LENGTH] [TEMPERATURE]");
  process.exit(2);
}
const meta = JSON.parse(readFileSync(path.replace(/\.onnx$/, ".json"), "utf8"));
const vocab = meta["tuirnn.vocab"];
if (vocab.kind === "bpe") throw new Error("a network of subwords: this example splits no text into them");
const symbols = vocab.kind === "byte" ? Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)) : vocab.symbols;
const unk = meta["tuirnn.unk"];
const stateMap = Object.entries(meta["tuirnn.state_map"]);
const shape = [meta["tuirnn.layers"], 1, meta["tuirnn.hidden"]];
const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
const begin = meta["tuirnn.state_init"]; // "zeros", or of a primed cell the rows of each state
const first = (name) => begin === "zeros" ? new Float32Array(shape[0] * shape[2]) : Float32Array.from(begin[name].flat());
let state = Object.fromEntries(stateMap.map(([, name]) => [name, new ort.Tensor("float32", first(name), shape)]));

// Feed one token; carry the state; return the scores of the next token.
async function step(token) {
  const outputs = await session.run({ token: new ort.Tensor("int64", [BigInt(token)], [1]), ...state });
  state = Object.fromEntries(stateMap.map(([out, name]) => [name, outputs[out]]));
  return outputs.logits.data;
}

// Draw a token; the unknown symbol is read, never written.
function choose(logits) {
  if (unk !== null) logits[unk] = -Infinity;
  const peak = Math.max(...logits);
  const weights = Array.from(logits, (x) => Math.exp((x - peak) / temperature));
  let left = Math.random() * weights.reduce((sum, w) => sum + w, 0);
  const token = weights.findIndex((w) => (left -= w) < 0);
  return token < 0 ? logits.indexOf(peak) : token;
}

let logits = await step(meta["tuirnn.opening"] ?? Math.max(symbols.indexOf("\n"), 0)); // older files have no such key
for (const symbol of prime) logits = await step(symbols.includes(symbol) ? symbols.indexOf(symbol) : unk ?? 0);
process.stdout.write(prime);
for (let i = 0; i < length; i++) {
  const token = choose(logits);
  process.stdout.write(symbols[token]);
  logits = await step(token);
}
process.stdout.write("\n");
