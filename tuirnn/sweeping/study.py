"""Search and early stopping by Optuna: its samplers, its pruners, its journal in the sweep's folder."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuirnn import locking
from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, RunError, one_line
from tuirnn.files import open_own
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, as_number, read_status
from tuirnn.sweeping.points import Point, check_count, is_done, numbered
from tuirnn.sweeping.space import Axis, Choices, Range

if TYPE_CHECKING:
    import optuna

PRUNERS = ("none", "halving", "median")

FIRST, KEPT = 2, 2
"""Successive halving goes on with half of the runs at evaluation 2, 4, 8, …: a high learning rate, which may be the
best one in the end, is often behind at the very first."""

CHOOSERS = ("tpe", "gp")
"""Searches whose values Optuna chooses by the losses so far: by its TPE sampler, or by a Gaussian process."""


STARTUP, CANDIDATES = 5, 64
"""Runs that TPE draws at random before it learns from losses, and values that it weighs for each later one. Optuna's
own numbers, 10 and 24, are for more runs than a sweep of trainings has."""


class _Held:
    """The journal's own lock is not needed: the sweep's folder is locked as long as the journal is open."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


@dataclass
class _Following:
    """What has been reported of a run at work."""

    trial: "optuna.trial.Trial"
    tail: LogTail
    evaluations: int = 0
    generation: int = 0


class Study:
    """Runs whose values Optuna chooses, or that it stops early.

    Args:
        base: the settings that do not vary.
        axes: setting -> what its values are drawn from.
        folder: of runs.
        own: the sweep's folder, for the journal.
        stem: what the runs' names begin with.
        points: the runs, where they are known before; None: Optuna chooses their values.
        chooser: how, one of `CHOOSERS`.
        trials: runs at most.
        seed: of the sampler.
        pruner: one of `PRUNERS`.
    """

    def __init__(
        self,
        base: RunConfig,
        axes: Mapping[str, Axis],
        folder: Path,
        own: Path,
        stem: str,
        *,
        points: Sequence[Point] | None = None,
        chooser: str = "tpe",
        trials: int,
        seed: int = 0,
        pruner: str = "none",
    ) -> None:
        check_count(trials)
        self.base, self.axes, self.folder, self.own, self.stem = base, axes, folder, own, stem
        self.points: list[Point] = []
        self.pruned: frozenset[str] = frozenset()
        self._listed, self._chooser, self._trials, self._seed, self._pruner = points, chooser, trials, seed, pruner
        self._waiting: list[Point] = []
        self._numbers: dict[str, int] = {}
        self._losses: dict[tuple[Any, ...], tuple[str, float]] = {}
        self._following: dict[str, _Following] = {}

    # ── opening ───────────────────────────────────────────────────────────────

    def begin(self, say: Callable[[str], None]) -> None:
        """Open the journal; what is done already is taken from it and from the runs.

        Raises:
            ConfigError: Optuna is not installed.
            RunError: another process works on this sweep, or it was begun with other settings.
        """
        self._say = say
        optuna = _optuna()
        self._distributions = {name: _distribution(axis) for name, axis in self.axes.items()}
        self._lock = _locked(self.own)
        if self._lock.lacking:
            say(f"the file system of {one_line(self.own)} has no locks: start this sweep only once at a time")
        backend = optuna.storages.journal.JournalFileBackend(str(_whole(self.own / "journal.log")), lock_obj=_Held())
        storage = optuna.storages.JournalStorage(backend)
        self._study = optuna.create_study(
            storage=storage, study_name=self.stem, pruner=self._make_pruner(), load_if_exists=True
        )
        before = self._study.get_trials(deepcopy=False)
        # a sampler has no memory of its random numbers: with the same seed it would draw the first ones again
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTUP, n_ei_candidates=CANDIDATES, seed=self._seed + len(before), constant_liar=True
        )
        self._check_same()
        ended = sum([self._take(trial) for trial in before])
        if ended:
            say(f"{ended} runs are done already")

    def _make_pruner(self) -> Any:
        pruners = _optuna().pruners
        if self._pruner == "halving":
            return pruners.SuccessiveHalvingPruner(min_resource=FIRST, reduction_factor=KEPT)
        return pruners.MedianPruner() if self._pruner == "median" else pruners.NopPruner()

    def _check_same(self) -> None:
        axes = json.loads(json.dumps({name: asdict(axis) for name, axis in self.axes.items()}))
        now = {"axes": axes, "by": "list" if self._listed is not None else self._chooser, "prune": self._pruner}
        known = self._study.user_attrs
        if not known:
            self._study.set_user_attr("sweep", now)
            self._study.set_user_attr("base", json.loads(json.dumps(self.base.to_json())))
            return
        base = RunConfig.from_json(known.get("base"), where="the sweep's journal") if "base" in known else self.base
        if known.get("sweep") != now or base != self.base:
            raise RunError(
                f"sweep '{self.stem}' in {one_line(self.folder)} was begun with other settings; give them again, or "
                "give the sweep a --name of its own"
            )

    def _take(self, trial: "optuna.trial.FrozenTrial") -> bool:
        """Remember a trial of the journal; returns whether its run has ended for good."""
        states = _optuna().trial.TrialState
        if trial.state == states.WAITING:  # a kill came between its entry and its start
            return False
        point = self._point(trial.number, trial.params)
        self._know(point, trial.number)
        if trial.state == states.RUNNING and is_done(point, self.folder):
            self.tell(point, read_status(RunPaths(self.folder / point.name)).best_val_loss, pruned=False)
            return True
        if trial.state == states.RUNNING:
            self._waiting.append(point)
            return False
        if trial.state == states.PRUNED:
            self.pruned |= {point.name}
        elif trial.value is not None:
            self._losses[tuple(point.at.values())] = (point.name, trial.value)
        return True

    def _point(self, number: int, params: Mapping[str, Any]) -> Point:
        if self._listed is not None:
            return self._listed[number]
        at = {
            name: axis.rounded(params[name]) if isinstance(axis, Range) and not axis.step else params[name]
            for name, axis in self.axes.items()
        }
        return numbered(self.base, at, self.stem, number)

    def _know(self, point: Point, number: int) -> None:
        self.points.append(point)
        self._numbers[point.name] = number

    # ── at work ───────────────────────────────────────────────────────────────

    def next(self) -> Point | None:
        """The next run to train: one that was interrupted, else a new one; None: there are enough."""
        if self._waiting:
            return self._waiting.pop(0)
        most = self._trials if self._listed is None else min(self._trials, len(self._listed))
        states = _optuna().trial.TrialState
        while (count := len(self._study.get_trials(deepcopy=False, states=_begun(states)))) < most:
            if not self._study.get_trials(deepcopy=False, states=(states.WAITING,)):
                if self._listed is not None:
                    self._study.enqueue_trial(dict(self._listed[count].at))
                elif self._chooser == "gp":
                    self._study.enqueue_trial(self._by_process(count))
            trial = self._study.ask(self._distributions)
            point = self._point(trial.number, trial.params)
            if twin := self._losses.get(tuple(point.at.values())):
                self._study.tell(trial.number, twin[1])
                self._say(f"{point.name} would be {twin[0]} again, whose loss counts")
                continue
            self._know(point, trial.number)
            return point
        return None

    def _by_process(self, count: int) -> dict[str, Any]:
        """The values that a Gaussian process chooses after `count` runs.

        Optuna's sampler ignores runs that were stopped early or still train. Here, a stopped run has its last loss, and
        one that has no evaluation yet the worst loss of all, so that its neighbourhood is not chosen twice.
        """
        optuna = _optuna()
        trials = [trial for trial in self._study.get_trials(deepcopy=False) if trial.params]
        reached = [trial.value if trial.value is not None else _last(trial) for trial in trials]
        known = [loss for loss in reached if math.isfinite(loss)]
        seen = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=self._seed + count, n_startup_trials=STARTUP))
        for trial, loss in zip(trials, reached, strict=True):
            if known:
                value = loss if math.isfinite(loss) else max(known)
                seen.add_trial(optuna.create_trial(params=trial.params, distributions=self._distributions, value=value))
        return dict(seen.ask(self._distributions).params)

    def is_hopeless(self, point: Point) -> bool:
        """Report new evaluations of a run at work; returns whether the pruner would stop it."""
        if self._pruner == "none":
            return False
        if point.name not in self._following:
            frozen = self._study.get_trials(deepcopy=False)[self._numbers[point.name]]
            trial = _optuna().trial.Trial(self._study, frozen._trial_id)
            self._following[point.name] = _Following(trial, LogTail(RunPaths(self.folder / point.name).metrics))
        following = self._following[point.name]
        known = self._study.get_trials(deepcopy=False)[self._numbers[point.name]].intermediate_values
        for record in following.tail.records():
            if following.tail.generation != following.generation:  # a resume has cut the log back
                following.generation, following.evaluations = following.tail.generation, 0
            if record.get("split") != "val":
                continue
            following.evaluations += 1
            if following.evaluations in known:
                continue
            following.trial.report(as_number(record.get("loss")), following.evaluations)
            if following.trial.should_prune():
                return True
        return False

    def tell(self, point: Point, loss: float, *, pruned: bool) -> None:
        """Write into the journal how a run has ended; one that failed stays open, for the next time."""
        states, number = _optuna().trial.TrialState, self._numbers[point.name]
        self._following.pop(point.name, None)
        if pruned:
            self.pruned |= {point.name}
            self._study.tell(number, state=states.PRUNED)
        elif math.isfinite(loss):
            self._losses[tuple(point.at.values())] = (point.name, loss)
            self._study.tell(number, loss)
        else:
            self._study.tell(number, state=states.FAIL)

    def close(self) -> None:
        """Let another process have the journal."""
        if hasattr(self, "_lock"):
            self._lock.release()


def _last(trial: "optuna.trial.FrozenTrial") -> float:
    """The loss of a trial's last evaluation; NaN before the first one."""
    known = trial.intermediate_values
    return float(known[max(known)]) if known else math.nan


def _begun(states: Any) -> tuple[Any, ...]:
    return (states.RUNNING, states.COMPLETE, states.PRUNED, states.FAIL)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "this search needs Optuna; install it with: pip install 'tuirnn[optuna]', or use --search random without "
            "--prune"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # one warning asks for a library that we do well without
    return optuna


def _distribution(axis: Axis) -> Any:
    kinds = _optuna().distributions
    if isinstance(axis, Choices):
        return kinds.CategoricalDistribution(axis.values)
    if axis.whole:
        return kinds.IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step) or 1)
    return kinds.FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step or None)


def _locked(own: Path) -> locking.Lock:
    """The lock of a sweep's folder, held."""
    try:
        own.mkdir(parents=True, exist_ok=True)
        lock = locking.take(own / "lock")
    except locking.Taken:
        raise RunError(f"sweep '{own.name}' is at work in another process; wait for it, or stop it first") from None
    except OSError as error:
        raise RunError(f"cannot write into {one_line(own)}: {error.strerror}") from None
    return lock


def _whole(path: Path) -> Path:
    """A journal without the torn last line that a kill may have left."""
    if path.exists():
        descriptor = open_own(path, os.O_RDWR)
        with open(descriptor, "r+b") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)
    return path
