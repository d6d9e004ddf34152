"""The sweeps of a folder of runs, as their `sweep.json` and the runs themselves tell; tolerant, for screens."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn.errors import RunError
from tuirnn.files import read_json
from tuirnn.runs.listing import RunSummary
from tuirnn.sweeping.attempt import own_folder
from tuirnn.sweeping.results import FORMAT, Trial

MAX_BYTES = 32 * 2**20

SEEDS = ("seed", "split_seed")
"""Settings over which runs are averaged."""


@dataclass(frozen=True)
class SweepView:
    """A sweep as far as it has come.

    Attributes:
        name: of the sweep.
        search: how its values are chosen.
        unit: of the losses; '' where they cannot be compared.
        best: name of the run with the lowest loss.
        best_so_far: (number of the trial, lowest loss until then).
        importance: share of the variance of the losses that each setting explains.
        trials: those that have ended, by number.
        live: names of its runs that are training now.
    """

    name: str
    search: str
    unit: str
    best: str | None
    best_so_far: tuple[tuple[float, float], ...]
    importance: Mapping[str, float]
    trials: tuple[Trial, ...]
    live: tuple[str, ...] = ()

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that vary, the most important first, seeds last."""
        names = dict.fromkeys(name for one in self.trials for name in one.values)
        return tuple(sorted(names, key=lambda name: (name in SEEDS, -self.importance.get(name, 0.0))))

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The trials, the lowest loss first, those without one last."""
        return tuple(sorted(self.trials, key=lambda one: (one.loss is None, one.loss or 0.0, one.number)))

    def over_seeds(self, setting: str) -> dict[Any, list[float]]:
        """The losses at each value of a setting, whatever the seed and all other settings were."""
        found: dict[Any, list[float]] = {}
        for one in self.trials:
            if one.loss is not None and setting in one.values:
                found.setdefault(one.values[setting], []).append(one.loss)
        return found


def sweeps(folder: Path, runs: Sequence[RunSummary]) -> tuple[SweepView, ...]:
    """The sweeps of a folder, the one that has changed last first; files that cannot be read are left out.

    Args:
        folder: of runs.
        runs: its runs as last read, for those that are at work.
    """
    try:
        files = [(file.stat().st_mtime, file) for file in own_folder(folder).glob("*/sweep.json")]
    except OSError:
        return ()
    live = [run.name for run in runs if run.status.live]
    found = (read(file, live) for _, file in sorted(files, reverse=True))
    return tuple(one for one in found if one is not None)


def read(file: Path, live: Sequence[str] = ()) -> SweepView | None:
    """One `sweep.json`; None where it is not one.

    Args:
        file: its path.
        live: names of all runs that are training.
    """
    try:
        body = read_json(file, MAX_BYTES)
    except RunError:
        return None
    trials = body.get("trials")
    if body.get("format") != FORMAT or not isinstance(trials, list):
        return None
    stem = file.parent.name
    course, weights = body.get("best_so_far"), body.get("importance")
    pairs = [pair for pair in course if _is_pair(pair)] if isinstance(course, list) else []
    shares = weights.items() if isinstance(weights, dict) else ()
    return SweepView(
        name=stem,
        search=str(body.get("search", "")),
        unit=str(body.get("unit", "")),
        best=body["best"] if isinstance(body.get("best"), str) else None,
        best_so_far=tuple((float(at), float(loss)) for at, loss in pairs),
        importance={str(name): float(share) for name, share in shares if _is_number(share)},
        trials=tuple(one for one in map(_trial, trials) if one is not None),
        live=tuple(name for name in live if name.startswith(f"{stem}-")),
    )


def _trial(value: Any) -> Trial | None:
    if not isinstance(value, dict):
        return None
    name, values, number, loss = (value.get(key) for key in ("name", "values", "number", "loss"))
    if not (isinstance(name, str) and isinstance(values, dict) and isinstance(number, int)):
        return None

    def amount(key: str) -> float:
        found = value.get(key)
        return float(found) if isinstance(found, (int, float)) and math.isfinite(found) else 0.0

    def words(key: str) -> str:
        return str(value.get(key) or "")

    known = float(loss) if isinstance(loss, (int, float)) and math.isfinite(loss) else None
    return Trial(
        name, number, values, words("state"), known, words("unit"), words("scale"), int(amount("at_step")),
        int(amount("steps")), amount("seconds"), value.get("leaky") is True, words("why"),
    )  # fmt: skip


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
