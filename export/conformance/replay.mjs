// Samples in onnxruntime-node from given uniform numbers, for replay.py: `node replay.mjs JOB.json`; prints the tokens.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const ort = createRequire(process.cwd() + "/")("onnxruntime-node");
const job = JSON.parse(readFileSync(process.argv[2]));
const session = await ort.InferenceSession.create(job.path, { intraOpNumThreads: 1 });
const stateMap = Object.entries(job.state_map), shape = [job.layers, 1, job.hidden];
let state = Object.fromEntries(stateMap.map(([, name]) =>
  [name, new ort.Tensor("float32", new Float32Array(job.layers * job.hidden), shape)]));

async function step(token) {
  const outputs = await session.run({ token: new ort.Tensor("int64", [BigInt(token)], [1]), ...state });
  state = Object.fromEntries(stateMap.map(([out, name]) => [name, outputs[out]]));
  return outputs.logits.data;
}

let logits = await step(job.opening);
const tokens = [];
for (const uniform of job.uniforms) {
  if (job.unk !== null) logits[job.unk] = -Infinity;
  const peak = Math.max(...logits);
  let total = 0;
  const running = Array.from(logits, (x) => (total += Math.exp((x - peak) / job.temperature)));
  tokens.push(running.findIndex((sum) => sum > uniform * total));
  logits = await step(tokens.at(-1));
}
console.log(JSON.stringify(tokens));
