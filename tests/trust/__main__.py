"""`make soak`: the long forms of every promise, and their figures in docs/notebook.md.

python -m tests.trust [PART ...] [--scale X]
parts: kills records faults flips 'mutated KIND' rehashed leaving runs readers
"""

import argparse
import datetime
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.trust import faults, kills, mutations, readers, rehashed

Figures = dict[str, Any]
RESULTS = Path(__file__).parents[2] / "docs" / "notebook.md"
HEADING = "## Soak"


def parts(scale: float) -> dict[str, Callable[[Path], Iterator[Figures]]]:
    """Each promise's long form; `scale` 1 is what the bars ask for."""

    def times(count: int) -> int:
        return max(1, round(count * scale))

    def every_fault(folder: Path) -> Iterator[Figures]:
        for cell, optimizer in zip(("rnn", "lstm", "gru", "lstm"), ("sgd", "adam", "adamw", "rmsprop"), strict=True):
            place = folder / optimizer
            place.mkdir()
            yield {"optimizer": optimizer, **faults.at_every(place, cell=cell, optimizer=optimizer)}

    def of_kind(kind: str) -> Callable[[Path], Iterator[Figures]]:
        return lambda folder: iter([mutations.mutated(folder, kind, times(100_000))])

    return {
        "kills": lambda folder: iter([kills.over_training(folder, times(1000))]),
        "records": lambda folder: iter([kills.over_records(folder, times(1000))]),
        "faults": every_fault,
        "flips": lambda folder: iter([mutations.bit_flips(folder, times(10_000))]),
        **{f"mutated {kind}": of_kind(kind) for kind in mutations.kinds()},
        "rehashed": lambda folder: iter([rehashed.rehashed(folder, times(100_000))]),
        "leaving": lambda folder: iter([readers.leaving(folder, times(100))]),
        "runs": lambda folder: iter([readers.many_runs(folder)]),
        "readers": lambda folder: iter([readers.with_readers(folder, 3600 * scale)]),
    }


def main() -> None:
    """Run the parts asked for, one after another; readers, which mostly waits, beside the others."""
    parser = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full counts")
    asked = parser.parse_args()
    known = parts(asked.scale)
    names = asked.parts or list(known)
    if unknown := set(names) - known.keys():
        parser.error(f"unknown part {', '.join(sorted(unknown))}; parts: {' '.join(known)}")
    beside = None
    if len(names) > 1 and "readers" in names:
        names.remove("readers")
        command = [sys.executable, "-m", "tests.trust", "readers", "--scale", str(asked.scale)]
        beside = subprocess.Popen(command)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            began = time.monotonic()
            for figures in known[name](Path(folder)):
                record(name, figures, time.monotonic() - began)
                began = time.monotonic()
    if beside is not None and beside.wait():
        sys.exit(beside.returncode)


def record(part: str, figures: Figures, seconds: float) -> None:
    """Print one line of figures and append it to the results."""
    changed = _git("status", "--porcelain", "--", "tuirnn", "tests")
    commit = _git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    said = ", ".join(
        f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in figures.items()
    )
    line = f"| {datetime.date.today()} | {commit} | {part} | {said} | {seconds:.0f} s |\n"
    print(line, end="", flush=True)
    text = RESULTS.read_text(encoding="utf-8")
    if HEADING not in text:
        columns = "| date | commit | part | figures | took |\n|---|---|---|---|---|\n"
        text += f"\n{HEADING}\n\nAppended by `make soak`.\n\n{columns}"
    at = text.index(HEADING)
    end = text.find("\n\n", text.index("|---", at))
    end = len(text) if end < 0 else end + 1
    RESULTS.write_text(text[:end] + line + text[end:], encoding="utf-8")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, cwd=RESULTS.parent).stdout.strip()


if __name__ == "__main__":
    main()
