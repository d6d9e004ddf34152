"""What 8 bits cost: every recipe's network, trained for a while, as int8 against fp32.

    python benchmarks/precision.py [--minutes 0.5] [--runs FOLDER] [RECIPE ...]

`surnames`, `sincos` and the like train to their end in less; of the others the network is the recipe's, the training is
cut short. Runs are kept: what is done is not trained again.
"""

import argparse
import sys
from pathlib import Path

from tuirnn import sweeping
from tuirnn.config import load_recipe, recipe_names
from tuirnn.export.exporter import export_run
from tuirnn.export.options import CellOptions
from tuirnn.runs.layout import RunPaths


def main() -> None:
    """Train, export twice, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", default=recipe_names())
    parser.add_argument("--minutes", type=float, default=0.5, help="longest training")
    parser.add_argument("--runs", type=Path, default=Path("checkpoints/precision"))
    asked = parser.parse_args()
    print("| recipe | held-out loss, fp32 | int8 | file, fp32 | int8 | share |\n|---|---|---|---|---|---|")
    for name in asked.recipes:
        config = load_recipe(name).config.replace(
            minutes=asked.minutes, eval_every=10**9, device="cpu", dtype="float32", sample_length=0
        )
        point = sweeping.Point(name, config, {})
        failed = sweeping.train([point], asked.runs, 1, lambda line: print(line, file=sys.stderr))
        if failed:
            raise SystemExit(f"not measured: {failed}")
        paths = RunPaths(asked.runs / name)
        whole, small = (export_run(paths, options=CellOptions(precision=kind)) for kind in ("fp32", "int8"))
        loss = small.metadata.loss
        assert loss is not None
        share = 100 * len(small.data) / len(whole.data)
        losses = f"{loss.nats_fp32:.4f} | {loss.nats - loss.nats_fp32:+.4f}"
        sizes = f"{len(whole.data):,} | {len(small.data):,}"
        print(f"| `{name}` | {losses} | {sizes} | {share:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
