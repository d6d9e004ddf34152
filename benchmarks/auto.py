"""How far `--dtype auto` is from the quickest type: its short measurement against a long one, on character models.

    python benchmarks/auto.py --cells lstm,gru,rnn --shapes A,B,C,D,E,F --rounds 5

For each cell and shape: the times of every type and kind of kernels over all steps of a batch, what auto chooses from
its own measurement, and the time of that choice over the best one's. Prints JSON with --json.
"""

import argparse
import json

import torch

from tuirnn import processor, tasks
from tuirnn.config import RunConfig
from tuirnn.training import choosing
from tuirnn.training.benchmark import SHAPES
from tuirnn.training.devices import keep_freed_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="lstm,gru,rnn")
    parser.add_argument("--shapes", default="A,B,C,D,E,F")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    keep_freed_memory()
    cpu, rows = torch.device("cpu"), []
    if not options.json:
        print(f"{processor.label()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for shape in options.shapes.split(","):
        B, T, H = SHAPES[shape]
        for cell in options.cells.split(","):
            config = RunConfig().replace(cell=cell, hidden=H, embed=H, batch_size=B, seq_len=T, device="cpu")
            data = tasks.load(config.data)
            own = choosing.choose(choosing.measured(config, data, B, cpu)[0])
            times, _ = choosing.measured(config, data, B, cpu, rounds=options.rounds, steps=T)
            over = times[f"{own.kernels} {own.dtype}"] / min(times.values())
            rows.append({"cell": cell, "shape": shape, "auto": f"{own.kernels} {own.dtype}", "over": over, **times})
            if not options.json:
                shown = ", ".join(f"{name} {1e3 * value:.2f}" for name, value in times.items())
                print(
                    f"{cell:5} {shape} auto: {own.kernels} {own.dtype}, {over:.3f} of the best; ms: {shown}", flush=True
                )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
