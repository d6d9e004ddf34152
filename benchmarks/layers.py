"""The time of a layer alone, for comparing two checkouts: what `tuirnn bench train` measures, without PyTorch's side.

    python benchmarks/checkouts.py ../old . --script benchmarks/layers.py -- lstm gru gru/reset=before --dtype bfloat16

Prints JSON: for each cell, shape and direction the median seconds of `--times` passes, forward alone and with backward.
It uses nothing but what checkouts since 0.1.0 have.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from tuirnn.config import ModelConfig  # where the oldest checkouts have it
from tuirnn.models import RecurrentLayer
from tuirnn.training.benchmark import SHAPES
from tuirnn.training.devices import keep_freed_memory


def median(go: Callable[[], object], times: int) -> float:
    """Seconds of a call."""
    go()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        go()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="+", help="each with settings of its own after slashes: gru/reset=before")
    parser.add_argument("--shapes", default="A,B,C,E,F")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    dtype, rows = getattr(torch, options.dtype), []
    for name in options.cells:
        family, *settings = name.split("/")
        config = {"cell": family, **dict(setting.split("=") for setting in settings)}
        for shape in options.shapes.split(","):
            B, T, H = SHAPES[shape]
            torch.manual_seed(0)
            layer = RecurrentLayer(ModelConfig(hidden=H, **config), H)
            x, gradient = torch.randn(T, B, H, requires_grad=True), torch.randn(T, B, H)
            state = layer.zero_state(B)

            def forward() -> torch.Tensor:
                return layer(x, state, dtype=dtype)[0]  # noqa: B023

            def both() -> None:
                torch.autograd.backward(forward(), gradient)  # noqa: B023

            row = {"cell": name, "shape": shape, "dtype": options.dtype}
            with torch.no_grad():
                rows.append({**row, "pass": "forward", "seconds": median(forward, options.times)})
            rows.append({**row, "pass": "both", "seconds": median(both, options.times)})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
