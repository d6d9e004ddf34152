"""Peak memory and speed of a training step: ours with --memory save and recompute, and torch.nn.

    python benchmarks/memory.py [--cells lstm,gru,rnn] [--shapes A,B,C,D] [--what layer,model] [--embed 0] [--rounds 7]
    python benchmarks/memory.py --estimates      # what `tuirnn train` says beforehand, and what it then takes

Memory is what a step (forward, loss, backward) takes beyond weights and batch, each in a process of its own; times are
medians of interleaved rounds in one process.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tuirnn.cells import CELLS
from tuirnn.models import RecurrentLayer, SequenceModel
from tuirnn.settings.model import ModelConfig
from tuirnn.training.benchmark import SHAPES
from tuirnn.training.contenders import VOCAB, TorchModel
from tuirnn.training.devices import keep_freed_memory
from tuirnn.training.peak import peak_of
from tuirnn.training.torch_layers import peer_layer

WAYS = ("torch", "save", "recompute")

LARGE = "--hidden 512 --layers 3 --seq-len 128 --batch-size 64"
TRAININGS = [
    "", "--hidden 1024 --batch-size 16", LARGE, f"{LARGE} --memory recompute", f"{LARGE} --accumulate 4",
    f"{LARGE} --memory recompute --accumulate 4", "--cell gru --hidden 512 --seq-len 128 --batch-size 128",
    "--cell rnn --hidden 512 --layers 2 --seq-len 128 --batch-size 128",
    "--cell gru --reset before --hidden 256 --seq-len 128 --batch-size 64",
    "--hidden 256 --seq-len 4000 --batch-size 4 --memory recompute", "--tokens word --hidden 256 --batch-size 64",
    "--hidden 512 --dtype bfloat16 --seq-len 128 --batch-size 64", "--hidden 512 --dtype float64 --seq-len 128",
    "--hidden 2048 --layers 2 --batch-size 8 --seq-len 16", "--hidden 256 --processes 2",
]  # fmt: skip


def layer_step(way: str, cell: str, shape: str, embed: int) -> Callable[[], None]:
    """Forward and backward of a layer on vectors of its own width."""
    B, T, H = SHAPES[shape]
    theirs = peer_layer(CELLS[cell], H, H)
    ours = RecurrentLayer(ModelConfig(cell=cell, hidden=H), H)
    x, gradient, state = torch.randn(T, B, H, requires_grad=True), torch.randn(T, B, H), ours.zero_state(B)
    module: nn.Module = theirs if way == "torch" else ours

    def outputs() -> Tensor:
        return theirs(x)[0] if way == "torch" else ours(x, state, memory=way)[0]

    def step() -> None:
        outputs().backward(gradient)
        module.zero_grad(set_to_none=True)
        x.grad = None

    return step


def model_step(way: str, cell: str, shape: str, embed: int) -> Callable[[], None]:
    """Forward, loss and backward of embedding, layer and head on tokens."""
    B, T, H = SHAPES[shape]
    theirs = TorchModel(cell, embed or H, H)
    config = ModelConfig(cell=cell, hidden=H, embed=embed or H, dropout=0.0)
    ours = SequenceModel(config, VOCAB, memory="save" if way == "torch" else way)
    model: nn.Module = theirs if way == "torch" else ours
    tokens, targets = torch.randint(VOCAB, (2, T, B))

    def logits() -> Tensor:
        return theirs(tokens) if way == "torch" else ours(tokens, ours.zero_state(B))[0]

    def step() -> None:
        cross_entropy(logits().flatten(0, 1), targets.flatten()).backward()
        model.zero_grad(set_to_none=True)

    return step


STEPS = {"layer": layer_step, "model": model_step}


def interleaved(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each, over rounds in which each runs once; one round before warms up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if round_:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in times.items()}


def estimates() -> None:
    """Print, for each of some short trainings, the estimate and the largest resident set (children's apart)."""
    print("| `tuirnn train` with | said MB | taken MB | said / taken |\n|---|---|---|---|")
    for options in TRAININGS:
        with tempfile.TemporaryDirectory() as folder:
            command = f"train {options} --steps 6 --eval-every 3 --sample-length 5 --device cpu --json --runs {folder}"
            words = [sys.executable, "-m", "tuirnn", *shlex.split(command)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdout is not None
                events = [json.loads(line) for line in process.stdout]
                _, _, used = os.wait4(process.pid, 0)
                process.returncode = 0
            start = next(event for event in events if event["event"] == "start")
            said, taken = start["memory"] / start["processes"], used.ru_maxrss * 1024
            print(f"| `{options}` | {said / 1e6:.0f} | {taken / 1e6:.0f} | {said / taken:.2f} |", flush=True)


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="lstm")
    parser.add_argument("--shapes", default="A,B,C,D")
    parser.add_argument("--what", default="layer,model")
    parser.add_argument("--embed", type=int, default=0, help="width of the model's embedding; 0: as hidden")
    parser.add_argument("--rounds", type=int, default=7, help="0: memory alone")
    parser.add_argument("--estimates", action="store_true", help="instead: trainings, said and taken")
    asked = parser.parse_args()
    if asked.estimates:
        estimates()
        return
    keep_freed_memory()
    print("| | cell | shape | torch MB | save | recompute | torch ms | save | recompute |\n" + "|---" * 9 + "|")
    for what in asked.what.split(","):
        for cell in asked.cells.split(","):
            for shape in asked.shapes.split(","):
                peaks = {way: peak_of(STEPS[what], way, cell, shape, asked.embed) / 1e6 for way in WAYS}
                line = f"| {what} | {cell} | {shape} | {peaks['torch']:.1f} |"
                line += "".join(f" {peaks[way]:.1f}, {peaks[way] / peaks['torch']:.2f}× |" for way in WAYS[1:])
                if asked.rounds:
                    steps = {way: STEPS[what](way, cell, shape, asked.embed) for way in WAYS}
                    times = interleaved(steps, asked.rounds)
                    line += f" {1e3 * times['torch']:.1f} |"
                    line += "".join(
                        f" {1e3 * times[way]:.1f}, {times['torch'] / times[way]:.2f}× |" for way in WAYS[1:]
                    )
                print(line, flush=True)


if __name__ == "__main__":
    main()
