"""Whether a change made something slower: the same command from two checkouts, in alternating processes.

    git worktree add ../old COMMIT
    python benchmarks/checkouts.py ../old . --rounds 9 -- bench train --shape A,B --rounds 3 --no-memory
    python benchmarks/checkouts.py ../old . -- bench cell shakespeare.onnx --seconds 2
    python benchmarks/checkouts.py ../old . --script benchmarks/layers.py -- lstm gru --dtype bfloat16

Each round runs old, new and old once more, in an order that turns with the round. A figure is a number in the JSON that
`tuirnn COMMAND --json`, or a script, prints: one line for each, with the median of new over old, and the noise: the
median and the spread of old over old. Both checkouts run in this interpreter's environment.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIGURES = ("ours", "seconds", "steps_per_s", "per_s")
"""Keys of the numbers that are compared."""


def figures(value: Any, label: str = "") -> Iterator[tuple[str, float]]:
    """(name, number) of every figure in a JSON value; the name holds the words and sizes beside it."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            named = isinstance(item, dict) and any(isinstance(x, str) for x in item.values())
            yield from figures(item, label if named else f"{label} {index}")
    elif isinstance(value, dict):
        words = [str(x) for key, x in value.items() if isinstance(x, (str, bool)) and key not in FIGURES]
        label = " ".join([label, *words]).strip()
        for key, item in value.items():
            if key in FIGURES and isinstance(item, (int, float)):
                yield f"{label} {key}", float(item)
            elif isinstance(item, (dict, list)):
                yield from figures(item, label)


def measured(checkout: Path, command: list[str], script: Path | None) -> dict[str, float]:
    """The figures of one run of a checkout's command, or of a script that uses its modules."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    words = [sys.executable, "-m", "tuirnn", *command, "--json"]
    if script is not None:
        words = [sys.executable, str(script.resolve()), *command]
    done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{checkout}: {done.stderr.strip()}")
    return dict(figures(json.loads(done.stdout)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--script", type=Path, help="a script that prints JSON, to run in place of tuirnn")
    parser.add_argument(
        "command", nargs="+", help="after --, a command of tuirnn that knows --json, or a script's words"
    )
    options = parser.parse_args()
    contenders = {"old": options.old.resolve(), "new": options.new.resolve(), "again": options.old.resolve()}
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(options.rounds):
        names = list(contenders)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            for figure, value in measured(contenders[name], options.command, options.script).items():
                found.setdefault(figure, {}).setdefault(name, []).append(value)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    print(f"{'figure':<60} {'old':>10} {'new':>10} {'new/old':>8} {'old/old':>8} {'spread':>13}")
    for figure, runs in found.items():
        old, new = statistics.median(runs["old"] + runs["again"]), statistics.median(runs["new"])
        noise = sorted(b / a for a, b in zip(runs["old"], runs["again"], strict=True))
        middle, low, high = statistics.median(noise), noise[0], noise[-1]
        print(f"{figure:<60} {old:>10.4g} {new:>10.4g} {new / old:>8.3f} {middle:>8.3f} {low:>6.2f}–{high:.2f}")


if __name__ == "__main__":
    main()
