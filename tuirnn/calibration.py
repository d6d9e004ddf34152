"""What the validation part of a series says about a forecaster: where it loses to a naive forecast, how far it errs.

Kept with the checkpoint and in the cell file, so that everyone answers with the same forecast and the same intervals.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuirnn.errors import DataError
from tuirnn.scaling import Series

NETWORK, LAST, SEASONAL = "network", "last", "seasonal"
METHODS = (NETWORK, LAST, SEASONAL)
"""What a column may be forecast by: the network, the last value, the value one season before."""

COVERAGE = 0.9
"""Share of the true values that an interval is to hold."""

MAX_SEASON = 1_000_000


@dataclass(frozen=True)
class Calibration:
    """Of a forecaster with F columns.

    Attributes:
        season: points; 1: none.
        one_step, rollout: what forecasts each column one step ahead and further, [F], the best on the validation part.
        naive_mae: what MASE divides by, [F].
        steps: steps ahead that `widths` are of, rising.
        widths: half of the intervals' widths at each of `steps`, [len(steps), F]; between them by straight lines,
            beyond the last by the square root of the steps.
        usual: root mean square of the errors of one step, [F]; empty in files of older versions, whose intervals do
            not follow the latest errors.
        scores: quantile of the errors of one step, each divided by `lately.deviation` before it, [F]; empty as `usual`.
    """

    season: int
    one_step: tuple[str, ...]
    rollout: tuple[str, ...]
    naive_mae: tuple[float, ...]
    steps: tuple[int, ...]
    widths: tuple[tuple[float, ...], ...]
    usual: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()

    def half_widths(self, horizon: int) -> Series:
        """Half of the interval's width at 1 to `horizon` steps ahead, [horizon, F]."""
        ahead, known = np.arange(1, horizon + 1), np.array(self.widths)
        rows = np.stack([np.interp(ahead, self.steps, column) for column in known.T], 1)
        return np.asarray(rows * np.sqrt(np.maximum(ahead / self.steps[-1], 1.0))[:, None], np.float64)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "season": self.season, "one_step": list(self.one_step), "rollout": list(self.rollout),
            "naive_mae": list(self.naive_mae), "coverage": COVERAGE, "steps": list(self.steps),
            "widths": [list(row) for row in self.widths],
            **({"usual": list(self.usual), "scores": list(self.scores)} if self.usual else {}),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: object, columns: int) -> "Calibration":
        """Read what `to_json` wrote for so many columns; raises DataError for anything else."""
        read: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        one_step, rollout, mae, steps, widths, usual, scores = (
            read.get(key, []) for key in ("one_step", "rollout", "naive_mae", "steps", "widths", "usual", "scores")
        )
        season = read.get("season")
        good = (
            type(season) is int
            and 1 <= season <= MAX_SEASON
            and all(_list_of(part, columns) and all(one in METHODS for one in part) for part in (one_step, rollout))
            and _numbers(mae, columns)
            and isinstance(steps, list)
            and 1 <= len(steps) <= 1_000
            and all(type(step) is int and 1 <= step < 2**53 for step in steps)
            and all(a < b for a, b in itertools.pairwise(steps))
            and _list_of(widths, len(steps))
            and all(_numbers(row, columns) for row in widths)
            and ((usual == [] and scores == []) or (_numbers(usual, columns) and _numbers(scores, columns)))
        )
        if not good:
            raise DataError("its calibration is damaged")
        return cls(
            int(read["season"]), tuple(read["one_step"]), tuple(read["rollout"]), tuple(map(float, read["naive_mae"])),
            tuple(read["steps"]), tuple(tuple(map(float, row)) for row in read["widths"]),
            tuple(map(float, usual)), tuple(map(float, scores)),
        )  # fmt: skip


def _list_of(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length


def _numbers(value: object, length: int) -> bool:
    """Whether a JSON value is a list of so many finite numbers, none below 0."""
    return (
        isinstance(value, list)
        and len(value) == length
        and all(type(number) in (int, float) and 0 <= number <= 1e300 for number in value)
    )
