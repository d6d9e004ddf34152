// What Node and the browser have in common: each cell of the job, or why it does not run.
export async function runCells(ort, job, locate, report, refuse, options) {
  for (const cell of job.cells) {
    try {
      await report(cell, ...(await runCell(ort, job, cell, locate(cell), options)));
    } catch (error) {
      await refuse(cell, String(error.message ?? error));
    }
  }
}

// Feed the tokens, carry the state, then choose greedily.
async function runCell(ort, job, cell, place, options) {
  const session = await ort.InferenceSession.create(place, options);
  const shape = [cell.layers, 1, cell.hidden];
  let state = Object.fromEntries(Object.values(cell.state_map).map((name) =>
    [name, new ort.Tensor("float32", new Float32Array(cell.layers * cell.hidden), shape)]));
  let last;
  const step = async (token) => {
    const outputs = await session.run({ token: new ort.Tensor("int64", [BigInt(token)], [1]), ...state });
    state = Object.fromEntries(Object.entries(cell.state_map).map(([out, into]) => [into, outputs[out]]));
    last = outputs.logits.data;
  };
  const logits = new Float32Array(job.tokens.length * cell.vocab);
  for (const [i, token] of job.tokens.entries()) {
    await step(token);
    logits.set(last, i * cell.vocab);
  }
  const greedy = [];
  for (let i = 0; i < job.greedy; i++) {
    greedy.push(last.indexOf(Math.max(...last)));
    await step(greedy[i]);
  }
  await session.release();
  return [logits, greedy];
}
