"""Writes text with a tuirnn cell in OpenCV's dnn module: write.py CELL.onnx [PRIME] [LENGTH] [TEMPERATURE] [SEED]"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

if len(sys.argv) < 2:
    sys.exit(__doc__)
path, prime, length, temperature, seed = (sys.argv[1:] + ["The ", "400", "0.7", "1"][len(sys.argv) - 2 :])[:5]
meta = json.loads(Path(path).with_suffix(".json").read_text("utf-8"))  # the file's metadata, beside it
vocab = meta["tuirnn.vocab"]
if vocab["kind"] == "bpe":
    sys.exit("a network of subwords: this example splits no text into them")
symbols = vocab["symbols"] if vocab["kind"] != "byte" else [chr(i) for i in range(256)]
unk = -1 if meta["tuirnn.unk"] is None else meta["tuirnn.unk"]
state_map = meta["tuirnn.state_map"]
shape = (meta["tuirnn.layers"], 1, meta["tuirnn.hidden"])
state = {name: np.zeros(shape, np.float32) for name in state_map.values()}
if meta["tuirnn.state_init"] != "zeros":  # a primed cell: its texts begin after a text that it has read
    state = {name: np.float32(rows)[:, None] for name, rows in meta["tuirnn.state_init"].items()}
random = np.random.default_rng(int(seed))

net = cv2.dnn.readNetFromONNX(path)
outputs = ["logits", *state_map]


def step(token):
    """Feed one token; carry the state; return the scores of the next token."""
    net.setInput(np.array([token]), "token")
    for name, value in state.items():
        net.setInput(value, name)
    values = dict(zip(outputs, map(np.array, net.forward(outputs))))
    state.update({into: values[out].reshape(shape) for out, into in state_map.items()})
    return values["logits"].reshape(-1)


def choose(logits):
    """Draw a token; the unknown symbol is read, never written."""
    if unk >= 0:
        logits[unk] = -np.inf
    p = np.exp((logits - logits.max()) / float(temperature)).cumsum()
    return int(p.searchsorted(random.random() * p[-1], side="right"))


newline = symbols.index("\n") if "\n" in symbols else 0  # the opening token of older files
logits = step(meta.get("tuirnn.opening", newline))
for symbol in prime:
    logits = step(symbols.index(symbol) if symbol in symbols else max(unk, 0))
print(prime, end="")
for _ in range(int(length)):
    token = choose(logits)
    print(symbols[token], end="", flush=True)
    logits = step(token)
print()
