// Runs cell files in onnxruntime-node, for conformance.py: `node node.mjs JOB.json`, in the folder with node_modules.
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { runCells } from "./cells.mjs";

const require = createRequire(process.cwd() + "/");
const ort = require("onnxruntime-node");
const job = JSON.parse(await readFile(process.argv[2]));
await runCells(ort, job, (cell) => cell.path, async (cell, logits, greedy) => {
  await writeFile(`${cell.path}.node.logits`, Buffer.from(logits.buffer));
  await writeFile(`${cell.path}.node.greedy`, JSON.stringify(greedy));
}, (cell, why) => writeFile(`${cell.path}.node.why`, why), { intraOpNumThreads: 1 });
console.log("version", require("onnxruntime-node/package.json").version);
