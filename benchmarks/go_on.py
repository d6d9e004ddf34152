"""Going on from a run against beginning anew: the best held-out loss after a minute on a small text of another author.

    python benchmarks/go_on.py PARENT [--runs DIR] [--text FILE] [--minutes 1] [--seeds 0,1,2] [-o FILE.json]

PARENT is a run on a larger text, such as `tuirnn train shakespeare --minutes 4 --name parent`. Without --text the other
author is Python's own documentation: the first 100,000 characters of `pydoc_data.topics`. For each seed two trainings
with the same settings, those of PARENT: one begins with its weights (`--from`), one with drawn weights.
"""

import argparse
import json
import os
import pydoc_data.topics
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tuirnn

CHARACTERS = 100_000
KEPT = ("cell", "hidden", "layers", "embed", "batch_size", "seq_len", "lr", "dropout", "optimizer", "dtype")
"""Settings that drawn weights are trained with as well."""


def best(words: list[str], runs: Path) -> dict[str, Any]:
    """The `end` event of a training in a process of its own."""
    command = [sys.executable, "-m", "tuirnn", "train", *words, "--json", "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Train both ways with each seed, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parent")
    parser.add_argument("--runs", type=Path, default=Path(os.environ.get("TUIRNN_RUNS") or "checkpoints"))
    parser.add_argument("--text", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--eval-every", type=int, default=50)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    parent = tuirnn.Run(options.parent, runs=options.runs)
    settings = parent.settings
    drawn = [word for name in KEPT for word in ("--" + name.replace("_", "-"), str(settings[name]))]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = options.text or Path(folder) / "python.txt"
        if options.text is None:
            text.write_text("\n".join(pydoc_data.topics.topics.values())[:CHARACTERS], encoding="utf-8")
        length = ["--minutes", str(options.minutes), "--eval-every", str(options.eval_every)]
        for seed in options.seeds.split(","):
            row: dict[str, Any] = {"seed": int(seed)}
            for kind, words in (("from", ["--from", str(parent.path)]), ("drawn", drawn)):
                end = best([str(text), *words, *length, "--seed", seed, "--name", f"{kind}-{seed}"], Path(folder))
                row |= {kind: end["best_val_loss"], f"{kind}_step": end["best_step"], f"{kind}_steps": end["step"]}
            rows.append(row)
            print(f"seed {seed}: from {row['from']:.4f} (step {row['from_step']} of {row['from_steps']}), drawn "
                  f"{row['drawn']:.4f} (step {row['drawn_step']} of {row['drawn_steps']}), better by "
                  f"{row['drawn'] - row['from']:.4f}", flush=True)  # fmt: skip
    gains = [row["drawn"] - row["from"] for row in rows]
    print(f"better by {min(gains):.4f} to {max(gains):.4f}, median {statistics.median(gains):.4f} {parent.unit}")
    if options.output:
        about = {"parent": parent.name, "parent_loss": parent.best_loss, "minutes": options.minutes, "rows": rows}
        options.output.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
