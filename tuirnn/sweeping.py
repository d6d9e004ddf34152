"""A grid of runs: independent run directories, trained by processes of their own, resumable; what is done is skipped.

Nothing but the run directories remembers a sweep: giving the same grid again goes on where it was left.
"""

import itertools
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tuirnn import machine
from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, RunError, one_line
from tuirnn.escaping import for_markdown
from tuirnn.figures import number
from tuirnn.runs.detached import arguments
from tuirnn.runs.layout import RunPaths, check_name, is_run
from tuirnn.runs.listing import RunSummary, summarize
from tuirnn.runs.reader import present_record, read_status
from tuirnn.settings.section import flag_of
from tuirnn.shortage import ending

MOST = 1000
"""Runs in one sweep."""

POLL = 0.1

NAMED_BY_VALUE = ("cell", "task", "optimizer", "batches")
"""Settings whose values speak for themselves in a run's name."""


@dataclass(frozen=True)
class Point:
    """One run of a grid.

    Attributes:
        name: of the run.
        config: every setting.
        at: the values of the settings that the grid varies.
    """

    name: str
    config: RunConfig
    at: Mapping[str, Any]


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


def train(points: Sequence[Point], folder: Path, jobs: int, say: Callable[[str], None]) -> dict[str, str]:
    """Train what is not done yet, at most `jobs` runs at a time; Ctrl-C and SIGTERM stop all of them at a checkpoint.

    Args:
        points: of the grid.
        folder: of runs.
        jobs: processes side by side; they share the machine's cores.
        say: receives a line whenever a run begins or ends.
    Returns:
        What went wrong, by the run's name.
    """
    waiting = [point for point in points if not is_done(point, folder)]
    if len(waiting) < len(points):
        say(f"{len(points) - len(waiting)} of {len(points)} runs are done already")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    failed: dict[str, str] = {}
    kills = machine.kills()
    running: dict[str, subprocess.Popen[bytes]] = {}
    with _ended_by_sigterm():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    point = waiting.pop(0)
                    running[point.name] = _start(point, folder, environment)
                    say(f"{point.name} trains")
                codes = {name: process.poll() for name, process in running.items()}
                for name, code in codes.items():
                    if code is not None:
                        del running[name]
                        failed |= _ended(RunPaths(folder / name), ending(code, kills) if code else "", say)
                kills = machine.kills() if any(codes.values()) else kills
                time.sleep(POLL)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()
    return failed


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that the trainings are told."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(point: Point, folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    there = is_run(folder / point.name)
    words = ["--resume", point.name] if there else ["--name", point.name, *arguments(point.config)]
    with open(_log(folder, point.name), "wb") as log:
        return subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "tuirnn", "train", "--runs", str(folder.resolve()), *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment),
            start_new_session=True,  # so that Ctrl-C reaches it once, through us: a second signal ends at once
        )  # fmt: skip


def _log(folder: Path, name: str) -> Path:
    return folder / f".{name}.{os.getpid()}.log"


def _ended(paths: RunPaths, wrong: str, say: Callable[[str], None]) -> dict[str, str]:
    """What went wrong with a run, by its name: its own last line, or how it was ended."""
    log = _log(paths.root.parent, paths.name)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if not wrong:
        os.replace(log, paths.log)
        run = summarize(paths)
        say(f"{paths.name} is done: {figure(run)} after {run.status.elapsed:,.0f} s")
        return {}
    log.unlink()
    own = lines[-1] if lines and lines[-1].startswith("tuirnn: ") else ""
    why = one_line(own.removeprefix("tuirnn: ") or f"it {wrong}")
    say(f"{paths.name} failed: {why}")
    return {paths.name: why}


def figure(run: RunSummary) -> str:
    """The best held-out loss, called leaky where it is."""
    return number(run.status.best_val_loss, 4) + " leaky" * run.leaky if run.status.best_step else "–"


Row = tuple[str, ...]


def table(points: Sequence[Point], folder: Path) -> list[Row]:
    """A line for each run below a line of titles: what was varied, the best held-out loss, where, and what it took."""
    axes = list(points[0].at)
    rows: list[Row] = [("run", *axes, "best val", "unit", "accuracy", "at step", "seconds", "parameters", "state")]
    for point in points:
        run = summarize(RunPaths(folder / point.name))
        status, record = run.status, run.record
        share = status.figure("accuracy")
        accuracy = "–" if math.isnan(share) else f"{100 * share:.2f} %" + " leaky" * run.leaky
        values = (_shown(point.at[name]) for name in axes)
        size = f"{record.parameters:,}" if record else "–"
        counts = (f"{status.best_step:,}", f"{status.elapsed:,.0f}", size)
        rows.append(
            (
                point.name,
                *values,
                figure(run),
                run.judgement.loss.unit,
                accuracy,
                *counts,
                status.state if record else "failed",
            )
        )
    return rows if any(row[-5] != "–" for row in rows[1:]) else [row[:-5] + row[-4:] for row in rows]


def over_seeds(points: Sequence[Point], folder: Path) -> list[Row]:
    """Means and deviations over the seeds, of the best held-out loss and the last accuracy; empty for one seed."""
    seeds = {"seed", "split_seed"} & points[0].at.keys()
    if not seeds:
        return []
    axes = [name for name in points[0].at if name not in seeds]
    groups: dict[Row, list[RunSummary]] = {}
    for point in points:
        key = tuple(_shown(point.at[name]) for name in axes)
        groups.setdefault(key, []).append(summarize(RunPaths(folder / point.name)))
    rows: list[Row] = [(*axes, "runs", "mean best val", "deviation", "unit", "mean accuracy", "deviation of it")]
    for key, runs in groups.items():
        leaky = any(run.leaky for run in runs)
        losses = [run.status.best_val_loss for run in runs if run.status.best_step]
        accuracies = [run.status.figure("accuracy") for run in runs]
        shares = [100 * accuracy for accuracy in accuracies if not math.isnan(accuracy)]
        unit = runs[0].judgement.loss.unit
        rows.append((*key, str(len(losses)), *_spread(losses, leaky), unit, *_spread(shares, leaky, 2)))
    return rows if any(row[-2] != "–" for row in rows[1:]) else [row[:-2] for row in rows]


def _spread(values: Sequence[float], leaky: bool, places: int = 4) -> tuple[str, str]:
    mean = number(statistics.fmean(values), places) + " leaky" * leaky if values else "–"
    return mean, number(statistics.stdev(values), places) if len(values) > 1 else "–"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def markdown(tables: Sequence[Sequence[Row]]) -> str:
    """Tables of rows as Markdown, each with its line of titles first."""
    lines = ["# Sweep", ""]
    for rows in tables:
        cells = ["| " + " | ".join(map(for_markdown, row)) + " |" for row in rows]
        lines += [*cells[:1], "|" + "---|" * len(rows[0]), *cells[1:], ""] if cells else []
    return "\n".join(lines)
