"""Settings that suit a series, by its length: for those that nobody has given."""

from collections.abc import Mapping
from typing import Any

from tuirnn.tasks.forecast.data import SeriesData

LIMITS = ("steps", "epochs", "minutes", "patience")
"""Settings that end a training."""

SIZES: tuple[tuple[int, dict[str, Any]], ...] = (
    (5_000, {"hidden": 32, "dropout": 0.1, "lr": 5e-3, "steps": 1_500, "eval_every": 25, "patience": 20}),
    (50_000, {"hidden": 64, "dropout": 0.1, "lr": 3e-3, "steps": 3_000, "eval_every": 100, "patience": 10}),
    (1 << 60, {"hidden": 128, "dropout": 0.1, "lr": 3e-3, "steps": 5_000, "eval_every": 250, "patience": 10}),
)
"""Up to so many rows to train on. Short series are overfitted within a few hundred steps: small networks, looked at
often, stopped early; measured in docs/notebook.md, "Forecasting"."""

SHORTEST, LONGEST = 32, 128
"""Steps of a training window."""

MOST_HORIZON = 200


def suited(data: SeriesData, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for a series, without those that are given.

    Windows from anywhere, every step learned from: a network that learns so is then used with its state carried.
    """
    rows, longest = len(data.train), max(data.lengths("train"))
    found = dict(next(settings for most, settings in SIZES if rows <= most))
    found |= {"seq_len": max(1, min(max(SHORTEST, 2 * data.season), LONGEST, longest // 3)), "checkpoint_every": 1_000}
    if "batches" not in given and "every_step" not in given:
        found |= {"batches": "random", "every_step": True}
    found["horizon"] = max(1, min(MOST_HORIZON, min(data.lengths("val")) // 2))
    if any(given.get(limit) for limit in LIMITS):
        found = {name: value for name, value in found.items() if name not in LIMITS}
    return {name: value for name, value in found.items() if name not in given}
