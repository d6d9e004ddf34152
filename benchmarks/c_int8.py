"""What the C source in 8 bits costs and gains against fp32: tables, held-out loss, steps a second on two paths.

    python benchmarks/c_int8.py [RUN]

Tables and speed are those of GRU-128 and GRU-256 with random weights; the loss is a trained run's, by its folder, on
its held-out text. Speeds: one thread, the best of twelve bursts, the programs in turn.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tuirnn import compiling
from tuirnn.export.c_source import FLAGS, c_files
from tuirnn.export.exporter import export_network
from tuirnn.export.network import Network, read_network
from tuirnn.export.options import CellOptions
from tuirnn.export.random_network import random_network
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime.data import run_data
from tuirnn.settings.model import ModelConfig
from tuirnn.tasks.lm.data import TextData

PROGRAM = r"""
#define _POSIX_C_SOURCE 199309L
#include <math.h>
#include <stdio.h>
#include <time.h>
#include "cell.h"

static float logits[CELL_OUTPUTS];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Without input: steps a second, the best of six bursts. Else the mean loss of the tokens, int32, in nats. */
int main(void) {
    cell_state state;
    double best = 0, loss = 0;
    long count = 0;
    int token, before = CELL_OPENING;
    if (!cell_verify()) return 1;
    cell_reset(&state);
    while (fread(&token, sizeof token, 1, stdin) == 1) {
        double total = 0, most = -INFINITY;
        cell_step(&state, before, logits);
        for (int i = 0; i < CELL_OUTPUTS; i++) most = fmax(most, (double)logits[i]);
        for (int i = 0; i < CELL_OUTPUTS; i++) total += exp((double)logits[i] - most);
        loss += log(total) + most - (double)logits[token];
        count++, before = token;
    }
    if (count) return printf("%.9g\n", loss / (double)count), 0;
    for (int burst = 0; burst < 6; burst++) {
        double began = now(), spent;
        long steps = 0;
        do {
            for (int i = 0; i < 200; i++) cell_step(&state, i % CELL_VOCAB, logits);
            steps += 200, spent = now() - began;
        } while (spent < 0.2);
        best = fmax(best, (double)steps / spent);
    }
    return printf("%.9g\n", best), 0;
}
"""
WAYS = {"this processor": ["-march=native"], "SSE2": ["-mno-sse3"]}


def build(network: Network, precision: str, folder: Path) -> int:
    """Compile a program for each of `WAYS`; returns the bytes of the tables."""
    compiler = compiling.compiler("c")
    if compiler is None:
        raise SystemExit("no C compiler")
    folder.mkdir()
    cell = export_network(network, CellOptions(precision=precision), proofs=False)
    files = c_files(network, cell.metadata.test, precision=precision)
    for name, text in {**files, "measure.c": PROGRAM}.items():
        (folder / name).write_text(text, "utf-8")
    for name, flags in WAYS.items():
        command = [compiler, *FLAGS, *flags, "measure.c", "cell.c", "cell_weights.c", "-lm", "-o", name]
        subprocess.run(command, cwd=folder, check=True)
    return int(files["cell_sizes.h"].split()[2].replace(",", ""))


def run(program: Path, tokens: bytes = b"") -> float:
    return float(subprocess.run([program], input=tokens, capture_output=True, check=True).stdout)


def network_of(hidden: int, cell: str = "gru") -> Network:
    """A language model with random weights."""
    return random_network(ModelConfig(cell=cell, hidden=hidden, embed=64))


def main() -> None:
    """Measure, print a table and the loss."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        print("| network | tables, fp32 | int8 | " + " | ".join(f"{way}, fp32 | int8" for way in WAYS) + " |")
        print("|---" * (3 + 2 * len(WAYS)) + "|")
        for hidden in (128, 256):
            network = network_of(hidden)
            homes = {kind: home / f"{hidden}-{kind}" for kind in ("fp32", "int8")}
            bytes_of = {kind: build(network, kind, folder) for kind, folder in homes.items()}
            best = {(way, kind): 0.0 for way in WAYS for kind in homes}
            for _ in range(2):
                best = {(way, kind): max(found, run(homes[kind] / way)) for (way, kind), found in best.items()}
            row = [f"GRU-{hidden}", f"{bytes_of['fp32']:,}"]
            row.append(f"{bytes_of['int8']:,} ({100 * bytes_of['int8'] / bytes_of['fp32']:.1f} %)")
            for way in WAYS:
                one, other = best[way, "fp32"], best[way, "int8"]
                row += [f"{one:,.0f}", f"{other:,.0f} ({other / one:.2f}×)"]
            print("| " + " | ".join(row) + " |", flush=True)
        for folder in map(Path, sys.argv[1:2]):
            network = read_network(RunPaths(folder))
            data, loss = run_data(RunPaths(folder)), {}
            assert isinstance(data, TextData)
            tokens = data.val.astype(np.int32)
            for kind in ("fp32", "int8"):
                build(network, kind, home / kind)
                loss[kind] = run(home / kind / "this processor", tokens.tobytes())
            more = loss["int8"] - loss["fp32"]
            print(f"held-out loss of {network.name}: {loss['fp32']:.4f} nats, in 8 bits {more:+.4f}")


if __name__ == "__main__":
    main()
