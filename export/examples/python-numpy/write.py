"""Writes text with a tuirnn cell in numpy alone: write.py CELL.onnx [PRIME] [LENGTH] [TEMPERATURE] [SEED]

An ONNX file is a protobuf message: forty lines read the part of it that a cell uses, twenty more compute it.
"""

import json
import sys
from pathlib import Path

import numpy as np


def fields(data):
    """The (number, value) pairs of a protobuf message: integers, or the bytes of everything else."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            yield key >> 3, data[at : at + size]
            at += size


def packed(number, value):
    """Repeated integers come one by one or all in one."""
    return [value] if isinstance(value, int) else list(_varints(value))


def _varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def tensor(data):
    dims, raw, name, kind = [], b"", "", 1
    for number, value in fields(data):
        if number == 1:
            dims += packed(number, value)
        elif number == 2:
            kind = value
        elif number == 8:
            name = value.decode()
        elif number == 9:
            raw = value
    return name, np.frombuffer(raw, {1: np.float32, 7: np.int64, 10: np.float16}[kind]).reshape(dims)


def node(data):
    inputs, outputs, kind, attributes = [], [], "", {}
    for number, value in fields(data):
        if number == 1:
            inputs.append(value.decode())
        elif number == 2:
            outputs.append(value.decode())
        elif number == 4:
            kind = value.decode()
        elif number == 5:
            parts = dict(fields(value))
            attributes[parts[1].decode()] = signed(parts.get(3, 0))
    return kind, inputs, outputs, attributes


OPERATORS = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "MatMul": np.matmul, "Tanh": np.tanh,
    "Sigmoid": lambda x: 0.5 + 0.5 * np.tanh(0.5 * x), "Relu": lambda x: np.maximum(x, 0),
    "Squeeze": lambda x, axes: x.squeeze(tuple(axes)), "Identity": lambda x: x,
    "Gather": lambda x, index: x[index], "Cast": lambda x, to: x.astype(np.float32),
    "Gemm": lambda a, b, c=0, transB=0: a @ (b.T if transB else b) + c,
    "Concat": lambda *xs, axis: np.concatenate(xs, axis),
    "Split": lambda x, sizes, axis=0: np.split(x, np.cumsum(sizes)[:-1], axis),
}  # fmt: skip


if len(sys.argv) < 2:
    sys.exit(__doc__)
path, prime, length, temperature, seed = (sys.argv[1:] + ["The ", "400", "0.7", "1"][len(sys.argv) - 2 :])[:5]
weights, nodes, meta = {}, [], {}
for number, value in fields(Path(path).read_bytes()):
    if number == 7:
        for part, item in fields(value):
            if part == 1:
                nodes.append(node(item))
            elif part == 5:
                name, array = tensor(item)
                weights[name] = array
    elif number == 14:
        entry = dict(fields(value))
        meta[entry[1].decode()] = entry.get(2, b"").decode()

vocab = json.loads(meta["tuirnn.vocab"])
if vocab["kind"] == "bpe":
    sys.exit("a network of subwords: this example splits no text into them")
symbols = vocab["symbols"] if vocab["kind"] != "byte" else [chr(i) for i in range(256)]
unk = int(meta["tuirnn.unk"] or -1)
state_map = json.loads(meta["tuirnn.state_map"])
shape = (int(meta["tuirnn.layers"]), 1, int(meta["tuirnn.hidden"]))
state = {name: np.zeros(shape, np.float32) for name in state_map.values()}
if meta["tuirnn.state_init"] != "zeros":  # a primed cell: its texts begin after a text that it has read
    state = {name: np.float32(rows)[:, None] for name, rows in json.loads(meta["tuirnn.state_init"]).items()}
random = np.random.default_rng(int(seed))


def step(token):
    """Feed one token; carry the state; return the scores of the next token."""
    values = {**weights, **state, "token": np.array([token])}
    for kind, inputs, outputs, attributes in nodes:
        found = OPERATORS[kind](*(values[name] for name in inputs), **attributes)
        values.update(zip(outputs, found if kind == "Split" else [found]))
    state.update({into: values[out] for out, into in state_map.items()})
    return values["logits"][0]


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
