"""A long log seen at a few places: quick, and enough for a sketch of its curves."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.runs.reader import as_number, parse_lines

SPARK, SPARK_BYTES = 10, 4096
"""Columns of a run's small curve, and bytes of the log that are looked at for each."""


def glances(log: Path, places: int, length: int) -> list[dict[str, Any]]:
    """The readable records in pieces of `length` bytes spread evenly over a log, in order, each at most once."""
    records: list[dict[str, Any]] = []
    try:
        with open(log, "rb") as file:
            size, seen = os.fstat(file.fileno()).st_size, 0
            for k in range(places):
                start = max(0, (size - length) * k // max(places - 1, 1))
                if start + length <= seen:
                    continue
                start = max(start, seen)
                file.seek(start)
                piece = file.read(length)
                whole = piece[: piece.rfind(b"\n") + 1]
                seen = start + len(whole)
                if start:
                    whole = whole[whole.find(b"\n") + 1 :]  # its first line may be the end of one
                records += parse_lines(whole)[0]
    except OSError:
        pass
    return records


def spark(metrics: Path) -> tuple[float, ...]:
    """The training loss in a few numbers: means of what is found at places spread evenly over the log."""
    found = [as_number(r.get("loss")) for r in glances(metrics, SPARK, SPARK_BYTES) if r.get("split") == "train"]
    finite = np.array([loss for loss in found if math.isfinite(loss)])
    if len(finite) < 2:
        return ()
    return tuple(float(part.mean()) for part in np.array_split(finite, min(SPARK, len(finite))))
