"""What share of a training's time its evaluations take: the first look, the evaluations, the whole part at the end.

    python benchmarks/evaluations.py TEXT [train's options, such as --minutes 4]

A training on TEXT with the defaults and these options, with each of the three timed where the training loop calls it:
by the clock, and in seconds of all processors, which hardly depend on what else the machine does.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tuirnn.cli import main as command
from tuirnn.training.trainer import Trainer

CALLS = {"look": "first look", "evaluate": "evaluations", "_finish": "whole part", "_train": "training"}


seconds, computed, calls, within = Counter[str](), Counter[str](), Counter[str](), list[str]()


def timed(name: str) -> None:
    """Time this method of the trainer; a look that evaluates counts once."""
    inner = getattr(Trainer, name)

    def outer(trainer: Trainer) -> Any:
        began, used = time.perf_counter(), time.process_time()
        within.append(name)
        try:
            return inner(trainer)
        finally:
            within.pop()
            if set(within) <= {"_train"}:
                seconds[name] += time.perf_counter() - began
                computed[name] += time.process_time() - used
                calls[name] += 1
            if name == "_train":  # the command ends without coming back
                tell()

    setattr(Trainer, name, outer)


def tell() -> None:
    """Print the seconds and the shares."""
    for name, words in CALLS.items():
        print(f"{words:>12} {calls[name]:>4} × {seconds[name]:>8.2f} s in all {computed[name]:>8.2f} s of processors")
    for what, spent in (("the time", seconds), ("the processors' seconds", computed)):
        part, whole = sum(spent.values()) - spent["_train"], spent["_train"]
        print(f"evaluations take {100 * part / whole:.1f} % of {what}, {whole:.0f}", flush=True)


def main() -> None:
    """Train."""
    for name in CALLS:
        timed(name)
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ["tuirnn", "train", *sys.argv[1:], "--runs", str(Path(folder) / "runs"), "--allow-leak"]
        command()


if __name__ == "__main__":
    main()
