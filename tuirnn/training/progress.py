"""Where a training stands: the numbers that a checkpoint holds beside the tensors."""

import math
import time
from dataclasses import dataclass, field, fields
from typing import Any

from tuirnn.errors import one_line
from tuirnn.runs.reader import FIGURES, as_number


@dataclass
class Progress:
    """Where the run stands; everything that `trainer.json` must hold to go on from here."""

    step: int = 0
    epoch: float = 0.0
    tokens: int = 0
    elapsed: float = 0.0
    best_val_loss: float = math.inf
    best_step: int = 0
    val_loss: float = math.nan
    figures: dict[str, float] = field(default_factory=dict)
    evaluations_without_best: int = 0
    evaluated: int = 0
    looked: int = 0
    lr_scale: float = 1.0
    kept: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Progress":
        """Read the fields back, numbers that JSON lacks from their strings; raises TypeError if they do not fit."""
        if not isinstance(value["figures"], dict) or not value["figures"].keys() <= set(FIGURES):
            raise TypeError("its figures are not known")
        kept = value.get("kept", {})
        if not isinstance(kept, dict):
            raise TypeError("what it keeps of the evaluation is no object")
        kinds = {spec.name: spec.type for spec in fields(cls) if spec.name not in ("figures", "kept")}
        figures = {name: as_number(number) for name, number in value["figures"].items()}
        numbers: dict[str, Any] = {
            k: as_number(v) if kinds.get(k) is float else v for k, v in value.items() if k not in ("figures", "kept")
        }
        for name, number in numbers.items():
            if type(number) is not kinds.get(name) or (type(number) is int and not 0 <= number < 2**53):
                raise TypeError(f"{one_line(name, 60)} is not a number that belongs here")
        return cls(**numbers, figures=figures, kept=kept)


class Stopwatch:
    """Seconds of training, without pauses, from where an earlier one of the run has left off."""

    def __init__(self, elapsed: float = 0.0) -> None:
        self.set(elapsed)

    def set(self, elapsed: float) -> None:
        """Go on from so many seconds."""
        self._zero = time.perf_counter() - elapsed

    @property
    def elapsed(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._zero

    def exclude(self, seconds: float) -> None:
        """Do not count the last so many seconds."""
        self._zero += seconds
