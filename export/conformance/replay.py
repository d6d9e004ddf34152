"""The same text from the same uniform numbers in Python, Node and C: 10,000 sampled characters, or where they part.

`python export/conformance/replay.py [RUN]`: the network of a run, by its folder, else one with random weights.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from conformance import HERE, HOME, Unavailable, call, npm

from tuirnn import compiling
from tuirnn.export.c_source import write_c
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.network import read_network
from tuirnn.export.random_network import random_network
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime.native_sampler import chooser
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.settings.model import ModelConfig
from tuirnn.vocab import opening

LENGTH, TEMPERATURE = 10_000, 0.8
MAIN = """
#include <stdio.h>
#include "cell.h"
int main(void) {
    cell_state state;
    float logits[CELL_VOCAB];
    double uniform;
    cell_reset(&state);
    cell_step(&state, CELL_OPENING, logits);
    while (scanf("%lf", &uniform) == 1) {
        int token = cell_sample(logits, TEMPERATURE, 0, uniform);
        printf("%d\\n", token);
        cell_step(&state, token, logits);
    }
    return 0;
}
"""


def main() -> None:
    given = Path(sys.argv[1]) if sys.argv[1:] else None
    network = read_network(RunPaths(given)) if given else random_network(ModelConfig(hidden=256))
    cell = export_network(network)
    uniforms = np.random.default_rng(0).random(LENGTH)
    path = HOME / "cells" / "replay.onnx"
    write_cell(cell, path)
    texts = {"Python, ONNX Runtime": in_python(cell, uniforms)}
    for name, run in (("Node, onnxruntime-node", in_node), ("C", in_c)):
        try:
            texts[name] = run(network, cell, path, uniforms)
        except Unavailable as missing:
            print(f"{name}: not here: {missing}")
    (first, expected), *others = texts.items()
    print(
        f"{LENGTH:,} characters of {network.name} at temperature {TEMPERATURE}, the same uniform numbers; {first} leads"
    )
    for name, tokens in others:
        same = next((i for i, (a, b) in enumerate(zip(expected, tokens, strict=True)) if a != b), LENGTH)
        print(f"{name}: {f'all {LENGTH:,} the same' if same == LENGTH else f'parts at character {same:,}'}")
        if same < LENGTH:
            report(cell, expected, tokens, uniforms, same)


def in_python(cell, uniforms) -> list[int]:
    session = CellSession(cell, device="cpu", threads=1)
    session.step(opening(cell.metadata.vocab))
    choose = chooser(session.logits[0], session.token, cell.metadata.vocab.unk, Sampling(TEMPERATURE))
    tokens = []
    for uniform in uniforms.tolist():
        tokens.append(choose(uniform))
        session.advance()
    return tokens


def in_node(network, cell, path: Path, uniforms) -> list[int]:
    folder, meta = npm("onnxruntime-node"), cell.metadata
    job = {
        "path": str(path), "layers": meta.layers, "hidden": meta.hidden, "state_map": meta.state_map,
        "unk": meta.vocab.unk, "opening": opening(meta.vocab), "temperature": TEMPERATURE,
        "uniforms": uniforms.tolist(),
    }  # fmt: skip
    (HOME / "replay.json").write_text(json.dumps(job))
    (folder / "replay.mjs").write_text((HERE / "replay.mjs").read_text())
    return json.loads(call(["node", str(folder / "replay.mjs"), str(HOME / "replay.json")], cwd=folder))


def in_c(network, cell, path: Path, uniforms) -> list[int]:
    compiler = compiling.compiler("c")
    if compiler is None:
        raise Unavailable("no C compiler")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_c(network, cell.metadata.test, folder)
        (folder / "replay.c").write_text(MAIN)
        flags = ["-O3", "-march=native", "-std=c99", "-ffp-contract=fast", f"-DTEMPERATURE={TEMPERATURE}"]
        call([compiler, *flags, "replay.c", "cell.c", "cell_weights.c", "-lm", "-o", "replay"], cwd=folder)
        numbers = "\n".join(f"{uniform!r}" for uniform in uniforms.tolist())
        done = subprocess.run([str(folder / "replay")], input=numbers, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def report(cell, expected, tokens, uniforms, at: int) -> None:
    """The scores and the running sums at which two hosts part: how near the uniform number was to a border."""
    session = CellSession(cell, device="cpu", threads=1)
    logits = session.step(opening(cell.metadata.vocab))[0]
    for token in expected[:at]:
        logits = session.step(token)[0]
    p = np.exp((logits[: cell.metadata.vocab.unk].astype(np.float64) - logits.max()) / TEMPERATURE)
    running = p.cumsum() / p.sum()
    for token in (expected[at], tokens[at]):
        print(f"  token {token}: logit {logits[token]:.7f}, running sum up to it {running[token]:.9f}")
    print(f"  uniform number {uniforms[at]:.9f}")


if __name__ == "__main__":
    main()
