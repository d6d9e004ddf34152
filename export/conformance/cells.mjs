// What Node and the browser have in common: feed the tokens, carry the state, then choose greedily.
export async function runCells(ort, job, locate, report, options) {
  for (const cell of job.cells) {
    const session = await ort.InferenceSession.create(locate(cell), options);
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
    await report(cell, logits, greedy);
    await session.release();
  }
}
