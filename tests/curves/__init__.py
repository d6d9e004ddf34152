"""Loss curves of a short training of each cell, one file a cell: NAME.json holds the loss of every fifth step."""

import json
import random
import tempfile
from pathlib import Path

import torch

from tuirnn.config import RunConfig
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail
from tuirnn.training import launch

FOLDER = Path(__file__).parent
STEPS, EVERY = 50, 5
COMMAND = "TUIRNN_KERNELS=portable python -m tests.curves"
"""Makes the file of the cells whose names follow."""

TOLERANCE = 1e-3
"""Largest difference of a loss, in nats. The native kernels, which add in another order, come within 1e-5 of every
stored loss; one gate's gradient with its sign flipped moves those of the LSTM and the sLSTM by 0.05 or more."""

SETTINGS = {
    "hidden": 16, "embed": 8, "layers": 1, "dropout": 0.0, "steps": STEPS, "eval_every": STEPS,
    "checkpoint_every": STEPS, "sample_length": 0, "batch_size": 4, "seq_len": 16, "lr": 0.01, "schedule": "constant",
    "warmup": 0, "device": "cpu",
}  # fmt: skip


def text() -> str:
    """4,000 words that have something to learn: each is one of twenty, and calls for some of the others."""
    rng = random.Random(0)
    words = [
        "".join(rng.choice("bdgklmnrst") + rng.choice("aeiou") for _ in range(rng.randint(1, 3))) for _ in range(20)
    ]
    at, found = 0, []
    for _ in range(4_000):
        at = (3 * at + rng.choice((1, 1, 1, 2, 7))) % len(words)
        found.append(words[at])
    return " ".join(found)


def curve(cell: str) -> list[float]:
    """The training loss of every fifth step, on one thread, by the kernels of this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "text.txt"
            source.write_text(text())
            config = RunConfig().replace(cell=cell, sources=(str(source),), **SETTINGS)
            launch.start(config, Path(folder), "run", lambda event: None)
            records = LogTail(RunPaths(Path(folder) / "run").metrics).read()
    finally:
        torch.set_num_threads(threads)
    losses = [record["loss"] for record in records if record["split"] == "train"]
    return [float(f"{loss:.6g}") for loss in losses[EVERY - 1 :: EVERY]]


def stored(cell: str) -> list[float]:
    """The curve of a cell as its file has it.

    Raises:
        FileNotFoundError: it has none.
    """
    found: list[float] = json.loads((FOLDER / f"{cell}.json").read_text())
    return found


def store(cell: str) -> None:
    """Write the file of a cell."""
    (FOLDER / f"{cell}.json").write_text(json.dumps(curve(cell)) + "\n")
