"""Writes text with a tuirnn cell: write.py CELL.onnx [PRIME] [LENGTH] [TEMPERATURE] [SEED]"""

import json
import sys

import numpy as np
import onnxruntime

if len(sys.argv) < 2:
    sys.exit(__doc__)
path, prime, length, temperature, seed = (sys.argv[1:] + ["The ", "400", "0.7", "1"][len(sys.argv) - 2 :])[:5]
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
meta = session.get_modelmeta().custom_metadata_map
vocab = json.loads(meta["tuirnn.vocab"])
if vocab["kind"] == "bpe":
    sys.exit("a network of subwords: this example splits no text into them")
symbols = vocab["symbols"] if vocab["kind"] != "byte" else [chr(i) for i in range(256)]
unk = int(meta["tuirnn.unk"] or -1)
state_map = json.loads(meta["tuirnn.state_map"])
shape = (int(meta["tuirnn.layers"]), 1, int(meta["tuirnn.hidden"]))
names = [output.name for output in session.get_outputs()]
state = {name: np.zeros(shape, np.float32) for name in state_map.values()}
if meta["tuirnn.state_init"] != "zeros":  # a primed cell: its texts begin after a text that it has read
    state = {name: np.float32(rows)[:, None] for name, rows in json.loads(meta["tuirnn.state_init"]).items()}
random = np.random.default_rng(int(seed))


def step(token):
    """Feed one token; carry the state; return the scores of the next token."""
    outputs = dict(zip(names, session.run(None, {"token": np.array([token]), **state})))
    state.update({into: outputs[out] for out, into in state_map.items()})
    return outputs["logits"][0]


def choose(logits):
    """Draw a token; the unknown symbol is read, never written."""
    if unk >= 0:
        logits[unk] = -np.inf
    p = np.exp((logits - logits.max()) / float(temperature)).cumsum()
    return int(p.searchsorted(random.random() * p[-1], side="right"))


newline = symbols.index("\n") if "\n" in symbols else 0  # the opening token of older files
logits = step(int(meta.get("tuirnn.opening", newline)))
for symbol in prime:
    logits = step(symbols.index(symbol) if symbol in symbols else max(unk, 0))
print(prime, end="")
for _ in range(int(length)):
    token = choose(logits)
    print(symbols[token], end="", flush=True)
    logits = step(token)
print()
