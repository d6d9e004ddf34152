"""A sweep as it is ordered: from settings with ranges to its plan, its engine and what came of it."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tuirnn.config import FIELDS, RunConfig
from tuirnn.errors import ConfigError, chosen, one_line
from tuirnn.runs.layout import check_name, is_run
from tuirnn.settings.section import flag_of
from tuirnn.sweeping.attempt import own_folder
from tuirnn.sweeping.engines import Engine, Local
from tuirnn.sweeping.loop import Limits, Sweep
from tuirnn.sweeping.outlook import Outlook, outlook
from tuirnn.sweeping.plans import Listed, Plan
from tuirnn.sweeping.points import MOST, Point, check_count, drawn, grid
from tuirnn.sweeping.results import Record
from tuirnn.sweeping.space import Axis, listed
from tuirnn.sweeping.study import CHOOSERS, PRUNERS, Study

MOST_JOBS = 1024
SEARCHES = ("grid", "random", *CHOOSERS)

SAMPLE = 64
"""Runs drawn to foresee a search whose values are chosen while it runs."""


@dataclass(frozen=True)
class Sweeping:
    """What came of a sweep.

    Attributes:
        points: the runs that were begun, or all of a grid.
        pruned: names of those that were stopped early.
        failed: what went wrong, by the run's name.
        data: the content of `sweep.json`.
    """

    points: Sequence[Point]
    pruned: frozenset[str]
    failed: dict[str, str]
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """A sweep; see the options of `tuirnn sweep`.

    Attributes:
        base: the settings that no option of the sweep gives.
        axes: setting -> its values, one or several.
        stem: beginning of the runs' names.
        folder: of runs.
        search: one of `SEARCHES`; None: random if `trials` is given, else grid.
        trials: runs of a search; None: as many as the time allows.
        minutes: begin no run later than this; 0: no limit.
        seed: of the search.
        prune: one of `PRUNERS`.
        jobs: runs side by side; 0: as many as there is room for.
        retry: further tries of a run that fails.
        fail_fast: whether the first run that fails ends the sweep.
        on: 'local', 'ray', or 'ray://HOST:PORT'.
        cpus, gpus: for each run on Ray.
    Raises:
        ConfigError: options that contradict each other or have no effect.
    """

    base: RunConfig
    axes: Mapping[str, Axis]
    stem: str
    folder: Path
    search: str | None = None
    trials: int | None = None
    minutes: float = 0.0
    seed: int | None = None
    prune: str = "none"
    jobs: int = 0
    retry: int = 0
    fail_fast: bool = False
    on: str = "local"
    cpus: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        check_name(self.stem)
        if not 0 <= self.jobs <= MOST_JOBS:
            raise ConfigError(f"--jobs must be from 0 to {MOST_JOBS}, not {self.jobs}")
        if not 0 <= self.retry <= MOST:
            raise ConfigError(f"--retry must be from 0 to {MOST:,}, not {self.retry}")
        if not (math.isfinite(self.minutes) and self.minutes >= 0):
            raise ConfigError(f"--time-budget must be a number of minutes from 0 on, not {self.minutes:g}")
        object.__setattr__(self, "prune", chosen("--prune", self.prune, PRUNERS))
        if not self.varied:
            raise ConfigError("a sweep needs a setting with several values, such as --seed 0,1,2 or --lr 1e-4..1e-2")
        self._check_search()
        self._check_engine()
        self._check_read()

    # ── checks ────────────────────────────────────────────────────────────────

    def _check_search(self) -> None:
        if self.method == "grid":
            for option, value in (("--trials", self.trials), ("--search-seed", self.seed)):
                if value is not None:
                    raise ConfigError(f"{option} is for --search random, tpe or gp: a grid has its own number of runs")
            return
        if self.trials is None and not self.minutes:
            raise ConfigError(f"--search {self.method} needs an end: --trials N or --time-budget MINUTES")
        if self.trials is not None:
            check_count(self.trials)
        data = [flag_of(name) for name in self.varied if FIELDS[name][0] == "data"]
        if data and (self.method in CHOOSERS or self.prune != "none"):
            raise ConfigError(
                f"{data[0]} changes the data, and losses on different data cannot be compared; vary it with --search "
                "grid or random, and without --prune"
            )

    def _check_engine(self) -> None:
        if not self.on.startswith("ray://"):
            object.__setattr__(self, "on", chosen("--on", self.on, ("local", "ray")))
            for option, value in (("--cpus", self.cpus), ("--gpus", self.gpus)):
                if value is not None and self.on == "local":
                    raise ConfigError(f"{option} is for --on ray: here, runs share the machine as --jobs says")
        if self.cpus is not None and not 1 <= self.cpus <= MOST_JOBS:
            raise ConfigError(f"--cpus must be from 1 to {MOST_JOBS}, not {self.cpus}")
        if self.gpus is not None and not 0 <= self.gpus <= MOST_JOBS:
            raise ConfigError(f"--gpus must be from 0 to {MOST_JOBS}, not {self.gpus:g}")

    def _check_read(self) -> None:
        """Refuse settings without effect: one that varies must be read by every run, any other by one at least."""
        single = {name: axis.values[0] for name, axis in self.axes.items() if name not in self.varied}
        points = self.listed or self.sample
        everywhere = frozenset.intersection(*(point.config.unread for point in points))
        for point in points:
            point.config.check_given({**point.at, **{name: single[name] for name in single.keys() & everywhere}})

    # ── its runs ──────────────────────────────────────────────────────────────

    @property
    def method(self) -> str:
        """One of `SEARCHES`."""
        if self.search is not None:
            return chosen("--search", self.search, SEARCHES)
        return "grid" if self.trials is None else "random"

    @cached_property
    def varied(self) -> dict[str, Axis]:
        """The settings with several values."""
        return {name: axis for name, axis in self.axes.items() if len(axis.values) != 1}

    @cached_property
    def settled(self) -> RunConfig:
        """The settings that all runs have in common."""
        return self.base.replace(**{name: axis.values[0] for name, axis in self.axes.items() if len(axis.values) == 1})

    @cached_property
    def listed(self) -> list[Point]:
        """The runs, where they are known before the first begins."""
        if self.method == "grid":
            return grid(self.settled, {name: listed(name, axis) for name, axis in self.varied.items()}, self.stem)
        if self.method == "random":
            return drawn(self.settled, self.varied, self.stem, self.trials or MOST, self.seed or 0)
        return []

    @cached_property
    def sample(self) -> list[Point]:
        """Some runs of a search, to foresee what it takes."""
        return drawn(self.settled, self.varied, self.stem, SAMPLE, self.seed or 0)

    @property
    def count(self) -> int | None:
        """How many runs there are, at most; None: as many as the time allows."""
        return len(self.listed) if self.method == "grid" or (self.listed and self.trials) else self.trials

    @property
    def heading(self) -> str:
        """The sweep in a line."""
        axes, count = " × ".join(flag_of(name) for name in self.varied), self.count
        runs = f"{count} runs" if count else "runs"
        fewer = ", all that there are" * bool(self.method == "random" and self.trials and count != self.trials)
        time = f" in {self.minutes:g} minutes" * bool(self.minutes)
        prune = f", --prune {self.prune}" * (self.prune != "none")
        jobs = f", {self.here} at a time" if self.on == "local" else f", on {one_line(self.on, 80)}"
        return f"{runs}{fewer}{time} of {axes}, {self.method}{prune}{jobs}"

    @property
    def here(self) -> int:
        """Runs side by side on this machine."""
        return min(self.jobs or os.cpu_count() or 1, len(self.listed) or self.trials or MOST)

    # ── its files ─────────────────────────────────────────────────────────────

    @property
    def own(self) -> Path:
        """The sweep's folder."""
        return own_folder(self.folder) / self.stem

    @property
    def data_file(self) -> Path:
        """The trials, for charts."""
        return self.own / "sweep.json"

    def log(self, name: str) -> Path:
        """Output of a run that has failed."""
        return Point(name, self.base, {}).job(self.folder).log

    # ── its work ──────────────────────────────────────────────────────────────

    def outlook(self) -> tuple[Outlook, int]:
        """What it takes, and with how many runs side by side."""
        jobs = self.here if self.on == "local" else self.jobs or 1
        if self.listed and self.count:
            return outlook(self.listed, self.folder, jobs), jobs
        return outlook(self.sample, self.folder, jobs, self.trials or 1), jobs

    def plan(self) -> Plan:
        """Which runs come, one after the other."""
        if self.listed and self.prune == "none":
            return Listed(self.listed, self.folder)
        trials = self.trials or len(self.listed) or MOST
        points = self.listed or None
        return Study(
            self.settled, self.varied, self.folder, self.own, self.stem, points=points, chooser=self.method,
            trials=trials, seed=self.seed or 0, pruner=self.prune,
        )  # fmt: skip

    def engine(self, say: Callable[[str], None]) -> tuple[Engine, int]:
        """Where they are trained, and how many side by side."""
        if self.on == "local":
            return Local(self.here), self.here
        from tuirnn.sweeping.on_ray import OnRay

        cluster = OnRay(self.on, self.cpus or 1, self.gpus or 0.0, say)
        jobs = self.jobs or cluster.room
        say(f"{cluster.nodes} machines with room for {cluster.room} runs, {jobs} at a time")
        return cluster, jobs

    def train(self, say: Callable[[str], None]) -> Sweeping:
        """Train its runs to the end.

        Args:
            say: receives a line whenever a run begins or ends.
        Raises:
            TuirnnError: it cannot begin.
        """
        plan = self.plan()
        engine, jobs = self.engine(say)
        record = Record(self.stem, self.method, plan, self.folder, self.data_file)
        limits = Limits(jobs, self.retry, self.fail_fast, 60 * self.minutes)
        work = Sweep(plan, engine, self.folder, limits, say, lambda point: record.take(point, work.failed))
        failed = work.run()
        begun = [point for point in plan.points if point.name in failed or is_run(self.folder / point.name)]
        return Sweeping(begun, plan.pruned, failed, record.complete(failed))
