"""Large tables: seconds until the first training step, and the largest resident set of the process until then.

    python benchmarks/large_tables.py [--rows 5000000] [--labelled 1000000] [--rounds 3] [--keep FOLDER]

One table has four columns of numbers, random walks with three decimals; the other has texts of three words and one of
five labels. Both are made with a fixed seed.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import csv

MB = 10**6
WORDS, LABELS = 2_000, 5


def numbers(path: Path, rows: int) -> None:
    """A table of four columns of numbers."""
    draw = np.random.default_rng(0)
    csv.write_csv(pyarrow.table({name: (draw.normal(size=rows).cumsum() / 10).round(3) for name in "abcd"}), path)


def labelled(path: Path, rows: int) -> None:
    """A table of texts and labels, where a text's first word decides."""
    draw = np.random.default_rng(0)
    letters = draw.choice(list("abcdefghijklmnopqrstuvwxyz"), (WORDS, 6))
    words = np.array(["".join(word) for word in letters])
    chosen = draw.integers(0, WORDS, (rows, 3))
    texts = [" ".join(row) for row in words[chosen]]
    labels = [f"label {number}" for number in chosen[:, 0] % LABELS]
    csv.write_csv(pyarrow.table({"text": texts, "label": labels}), path)


def first_step(table: Path, task: str, folder: Path) -> tuple[float, int]:
    """Seconds until a training reports its first step, and the largest resident set until then, in bytes."""
    command = [sys.executable, "-m", "tuirnn", "train", str(table), "--task", task, "--steps", "2", "--json", "--runs",
               str(folder)]  # fmt: skip
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout
    for line in child.stdout:
        if '"event": "step"' in line:
            seconds = time.perf_counter() - began
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text())
            child.kill()
            child.wait()
            assert found
            return seconds, 1024 * int(found[1])
    raise SystemExit(f"{table}: the training ended before a step")


def main() -> None:
    """Print a line for each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--labelled", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder for the tables; they are made once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        for task, rows, make in (("forecast", options.rows, numbers), ("classify", options.labelled, labelled)):
            table = folder / f"{task}-{rows}.csv"
            if not table.exists():
                make(table, rows)
                os.sync()
            found = [first_step(table, task, Path(made) / f"{task}-{i}") for i in range(options.rounds)]
            seconds, memory = ([one[at] for one in found] for at in (0, 1))
            times = f"{statistics.median(seconds):.1f} s ({min(seconds):.1f}–{max(seconds):.1f})"
            size = f"{rows:,} rows, {table.stat().st_size / MB:.0f} MB"
            print(f"{task}, {size}: first step {times}, {max(memory) / MB:.0f} MB")


if __name__ == "__main__":
    main()
