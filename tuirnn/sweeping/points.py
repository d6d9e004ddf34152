"""The runs of a sweep: every combination of values, or values drawn from ranges."""

import itertools
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, RunError
from tuirnn.runs.detached import arguments
from tuirnn.runs.layout import RunPaths, check_name, is_run
from tuirnn.runs.reader import present_record, read_status
from tuirnn.settings.section import flag_of
from tuirnn.sweeping.attempt import Job
from tuirnn.sweeping.space import Axis

MOST = 1000
"""Runs in one sweep."""

DRAWS = 1000
"""Draws in a row that may repeat a run that was drawn before, until the ranges count as exhausted."""

NAMED_BY_VALUE = ("cell", "task", "optimizer", "batches")
"""Settings whose values speak for themselves in a run's name."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        name: of the run.
        config: every setting.
        at: the values of the settings that the sweep varies.
    """

    name: str
    config: RunConfig
    at: Mapping[str, Any]

    def job(self, folder: Path) -> Job:
        """What an engine needs to train it into `folder`."""
        return Job(self.name, str(folder.resolve()), tuple(arguments(self.config, given=self.at)))


def grid(base: RunConfig, axes: Mapping[str, Sequence[Any]], stem: str) -> list[Point]:
    """Every combination of the values in `axes`, the last axis varying fastest.

    Args:
        base: the other settings.
        axes: setting -> its values.
        stem: what the runs' names begin with.
    Raises:
        ConfigError: a value that its setting refuses, a value twice, or too many runs.
    """
    for name, values in axes.items():
        if len(set(values)) != len(values):
            raise ConfigError(f"{flag_of(name)} names a value twice")
    count = math.prod(map(len, axes.values()))
    if count > MOST:
        raise ConfigError(f"a grid of {count:,} runs is more than {MOST:,}; give fewer values")
    points = []
    for values in itertools.product(*axes.values()):
        at = dict(zip(axes, values, strict=True))
        name = "-".join([stem, *(_label(*pair) for pair in at.items())])
        points.append(Point(check_name(name), base.replace(**at), at))
    return points


def _label(name: str, value: Any) -> str:
    shown = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return re.sub(r"[^A-Za-z0-9._-]", "_", shown if name in NAMED_BY_VALUE else f"{name}{shown}")


def numbered(base: RunConfig, at: Mapping[str, Any], stem: str, number: int) -> Point:
    """The run of one trial of a search, named by its number from 0.

    Raises:
        ConfigError: settings that no run can have together.
    """
    return Point(check_name(f"{stem}-{number:03d}"), base.replace(**at), dict(at))


def drawn(base: RunConfig, axes: Mapping[str, Axis], stem: str, trials: int, seed: int) -> list[Point]:
    """Runs with values drawn from each axis, no two alike; fewer than `trials` where the axes have no more.

    Args:
        base: the other settings.
        axes: setting -> what its values are drawn from.
        stem: what the runs' names begin with.
        trials: runs.
        seed: of the draws: a larger number of trials begins with those of a smaller one.
    Raises:
        ConfigError: a value that its setting refuses, or too many runs.
    """
    check_count(trials)
    generator, seen, repeated = random.Random(seed), set[tuple[Any, ...]](), 0
    points: list[Point] = []
    while len(points) < trials and repeated < DRAWS:
        at = {name: axis.draw(generator) for name, axis in axes.items()}
        if (key := tuple(at.values())) in seen:
            repeated += 1
            continue
        seen.add(key)
        repeated = 0
        points.append(numbered(base, at, stem, len(points)))
    return points


def check_count(trials: int) -> None:
    """Raises ConfigError for a number of trials that no sweep may have."""
    if not 1 <= trials <= MOST:
        raise ConfigError(f"--trials must be from 1 to {MOST:,}, not {trials:,}")


def is_done(point: Point, folder: Path) -> bool:
    """Whether the run is there and complete.

    Raises:
        RunError: a run of that name has other settings.
    """
    paths = RunPaths(folder / point.name)
    if not is_run(paths.root):
        return False
    had, wanted, unread = present_record(paths).config.flat(), point.config.flat(), point.config.unread
    other = [flag_of(name) for name in wanted if had[name] != wanted[name] and name not in unread]
    if other:
        raise RunError(
            f"run '{point.name}' is already in {folder} with another {', '.join(other[:3])}; remove it, or give the "
            "sweep a --name of its own"
        )
    return read_status(paths).state == "done"
