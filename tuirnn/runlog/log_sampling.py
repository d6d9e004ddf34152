"""Reading a long log at a few positions only: fast, and enough for a preview of its curves."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.runs.reader import as_number, parse_lines

SPARK, SPARK_BYTES = 10, 1024
"""Points of a run's small curve, and bytes of the log that are read for each."""


def sample_records(log: Path, positions: int, length: int) -> list[dict[str, Any]]:
    """The readable records at positions spread evenly over a log, in order, each at most once.

    Args:
        log: the file.
        positions: where it is read.
        length: bytes to read at each.
    """
    records: list[dict[str, Any]] = []
    try:
        with open(log, "rb") as file:
            size, seen = os.fstat(file.fileno()).st_size, 0
            for k in range(positions):
                start = max(0, (size - length) * k // max(positions - 1, 1))
                if start + length <= seen:
                    continue
                start = max(start, seen)
                file.seek(start)
                piece = file.read(length)
                whole = piece[: piece.rfind(b"\n") + 1]
                seen = start + len(whole)
                if start:
                    whole = whole[whole.find(b"\n") + 1 :]  # the first line may be incomplete
                records += parse_lines(whole)[0]
    except OSError:
        pass
    return records


def spark(metrics: Path) -> tuple[float, ...]:
    """The training loss in a few numbers: means over positions spread evenly over the log."""
    found = [as_number(r.get("loss")) for r in sample_records(metrics, SPARK, SPARK_BYTES) if r.get("split") == "train"]
    finite = np.array([loss for loss in found if math.isfinite(loss)])
    if len(finite) < 2:
        return ()
    return tuple(float(part.mean()) for part in np.array_split(finite, min(SPARK, len(finite))))
