"""The time loop of cells without a recurrent product, beside `torch.sigmoid` over as many bytes; interleaved.

    python benchmarks/elementwise.py                      # shapes A, B and D, all such cells
    python benchmarks/elementwise.py --cells rg-lru --rounds 51

Such a loop computes a few functions of each number and moves it through memory once. What it could cost at best is what
`torch.sigmoid` costs that reads and writes the same number of bytes. Prints a line for each cell and shape: how many
arrays [T, B, H] the pass reads and writes, milliseconds, and the ratio of the shortest times of all rounds.
"""

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tuirnn.cells import CELLS
from tuirnn.codegen.schedule import backward_schedule, forward_schedule
from tuirnn.codegen.trace import Traced, traced
from tuirnn.kernels import native
from tuirnn.kernels.cache import Recurrent
from tuirnn.training.benchmark import SHAPES
from tuirnn.training.devices import keep_freed_memory

IN_MEMORY = ("gate", "extra", "before", "after")
"""Places of values that a pass reads anew at each step."""


def arrays(cell: Traced) -> tuple[int, int]:
    """How many arrays [T, B, H] the forward and the backward pass read or write."""
    kept = {place for phase in forward_schedule(cell).phases for place, _ in phase.writes if place.of in IN_MEMORY[:2]}
    forward = cell.G + len(kept) + len(cell.state)
    phases = backward_schedule(cell).phases
    read = {phase.reads[name] for phase in phases for name in phase.needed if name in phase.reads}
    written = {place for phase in phases for place, _ in phase.writes if place.of in ("dgate", "dx")}
    incoming = 1  # the gradient of the outputs
    return forward, len({place for place in read if place.of in IN_MEMORY}) + incoming + len(written)


def shortest(calls: list[Callable[[], object]], rounds: int) -> list[float]:
    """The shortest seconds of each call, in turns."""
    times = [[] for _ in calls]  # type: list[list[float]]
    for call in calls:
        call()
    for _ in range(rounds):
        for call, found in zip(calls, times, strict=True):
            began = time.perf_counter()
            call()
            found.append(time.perf_counter() - began)
    return [min(found) for found in times]


def measure(name: str, shape: str, rounds: int) -> str:
    """A line of the table."""
    cell = traced(CELLS[name])
    B, T, H = SHAPES[shape]
    torch.manual_seed(0)
    gx = torch.randn(T, B, cell.G * H)
    weights = Recurrent(torch.zeros(0, H), torch.zeros(0), torch.rand(len(cell.vectors), H))
    state = tuple(torch.zeros(B, H) for _ in cell.state)
    gradient = torch.randn(T, B, H)
    counts = arrays(cell)
    flat = [torch.randn(count * T * B * H // 2) for count in counts]  # read once and written once
    outputs = [torch.empty_like(x) for x in flat]
    cache = native.forward(cell, gx, weights, state)
    forward, sigmoid, backward, sigmoid_back = shortest(
        [
            lambda: native.forward(cell, gx, weights, state),
            lambda: torch.sigmoid(flat[0], out=outputs[0]),
            lambda: native.backward(cell, cache, weights, gradient, state),
            lambda: torch.sigmoid(flat[1], out=outputs[1]),
        ],
        rounds,
    )
    passes = ((counts[0], forward, sigmoid), (counts[1], backward, sigmoid_back))
    return f"{name:<10}{shape:>3}" + "".join(
        f"{count:>10}{1e3 * ours:>9.2f} ms{1e3 * theirs:>9.2f} ms{ours / theirs:>7.2f}"
        for count, ours, theirs in passes
    )


def main() -> None:
    loops = [name for name, cell in CELLS.items() if not traced(cell).R]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default=",".join(loops))
    parser.add_argument("--shapes", default="A,B,D")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    keep_freed_memory()
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    processor = models[0].partition(":")[2].strip() if models else platform.machine()
    print(f"{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32")
    titles = f"{'arrays':>10}{'ours':>12}{'sigmoid':>12}{'ratio':>7}"
    print(f"{'cell':<10}{'':>3}{titles}  (forward){titles[11:]}  (backward)")
    for name in options.cells.split(","):
        for shape in options.shapes.split(","):
            print(measure(name, shape, options.rounds), flush=True)


if __name__ == "__main__":
    main()
