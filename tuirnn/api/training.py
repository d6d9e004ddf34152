"""Training from Python: `tuirnn.train`, and `tuirnn.events` for whoever wants to see each event as it comes."""

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from tuirnn import tasks
from tuirnn.api.runs import Run
from tuirnn.api.settings import Settings
from tuirnn.config import RunConfig
from tuirnn.errors import OutOfMemoryError, RunError
from tuirnn.machine import share_cores
from tuirnn.runs import control, detached
from tuirnn.runs.layout import RunPaths, check_free, runs_folder
from tuirnn.shortage import TO_TRAIN, need_room, shortage, told

if TYPE_CHECKING:
    from tuirnn.cli.progress import PlainReport
    from tuirnn.runs.parent import Parent
    from tuirnn.training.events import Event, Report

Sources = str | Path | Sequence[str | Path] | None
Begin = Callable[["Report"], str]


class Training(Iterable["Event"]):
    """A training that runs as its events are read, in a thread of its own; it waits for its reader.

    It can be read once. To stop reading (`break`, or the end of `contextlib.closing(iter(training))`) ends the
    training at a checkpoint.

    Args:
        paths: of the run, which need not be there yet.
        begin: trains, given what receives the events; returns how the training ended.

    Attributes:
        outcome: 'done', or 'request' where it was asked to stop; empty until then.
    """

    def __init__(self, paths: RunPaths, begin: Begin) -> None:
        self._paths, self._begin = paths, begin
        self._read = False
        self.outcome = ""

    @property
    def folder(self) -> Path:
        """Of its run and others."""
        return self._paths.root.parent

    @property
    def run(self) -> Run:
        """The run, which is there from the first event on."""
        return Run(self._paths.root)

    def __iter__(self) -> Generator["Event", None, None]:
        """Train; yields each event.

        Raises:
            TuirnnError: what the command `tuirnn train` would say.
        """
        if self._read:
            raise RunError("the events of a training can be read once; run.metrics() has its numbers")
        self._read = True
        work = _Work(self._paths, self._begin)
        try:
            yield from work
        finally:
            work.stop()
            for _ in work:  # until the last checkpoint is written
                pass
            self.outcome = work.outcome


class _Work:
    """The thread that trains, seen from the one that reads."""

    def __init__(self, paths: RunPaths, begin: Begin) -> None:
        self._paths, self._begin = paths, begin
        self._events: queue.Queue[Event | None] = queue.Queue(1)
        self._stopping = self._asked = self._over = False
        self._error: BaseException | None = None
        self.outcome = ""
        threading.Thread(target=self._train, name=f"training {paths.name}", daemon=True).start()

    def _train(self) -> None:
        try:
            self.outcome = self._begin(self._report)
        except BaseException as error:  # raised again where the events are read
            self._error = error
        if self._asked:
            control.take(self._paths)  # a request that came with the last step must not stop a resume
        self._events.put(None)

    def _report(self, event: "Event") -> None:
        if self._stopping and not self._asked:
            self._asked = True
            control.send(self._paths, control.Request("stop"))
        self._events.put(event)

    def stop(self) -> None:
        """Have the training end at its next step."""
        self._stopping = True

    def __iter__(self) -> Generator["Event", None, None]:
        while not self._over and (event := self._events.get()) is not None:
            yield event
        self._over = True
        if (error := self._error) is not None:
            self._error = None
            if short := shortage(error) if isinstance(error, Exception) else "":
                raise OutOfMemoryError(f"{short}; lower batch_size, seq_len or hidden, or try memory='recompute'")
            raise error


def train(
    source: Sources = None,
    *,
    recipe: str | None = None,
    name: str | None = None,
    from_run: Run | str | Path | None = None,
    runs: str | Path | None = None,
    callback: Callable[["Event"], object] | None = None,
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> Run:
    """Train a network to its end, as the command `tuirnn train` does.

    An interrupt (Ctrl-C, or a notebook's stop button) ends the training at a checkpoint and is raised then;
    `Run.resume` goes on.

    Args:
        source: files, folders or names of data sets; None: the embedded text.
        recipe: name of a recipe, or a TOML file, to begin with its settings.
        name: of the new run; None: one that says what it is.
        from_run: a run, its name or its path, whose weights, vocabulary and settings the new one begins with.
        runs: folder of runs; None: `$TUIRNN_RUNS`, else `./checkpoints`.
        callback: receives each event, in this thread; the training waits for it.
        progress: True: show lines, on a terminal with a bar, in a notebook one block that is renewed; False: nothing.
            None: on a terminal and in a notebook as with True, elsewhere only what is to be said of the data and the
            machine, on standard error.
        settings: those of `tuirnn train` under the same names, such as hidden=256 or lr=0.003.
    Returns:
        The run.
    Raises:
        TuirnnError: what the command would say.
    """
    config, parent, given = _configured(source, recipe, from_run, runs, settings)
    return shown(_new(config, parent, given, name, runs), config, callback, progress)


def events(
    source: Sources = None,
    *,
    recipe: str | None = None,
    name: str | None = None,
    from_run: Run | str | Path | None = None,
    runs: str | Path | None = None,
    **settings: Unpack[Settings],
) -> Training:
    """A training whose events are read in a loop: `for event in tuirnn.events("my.txt", hidden=64): …`.

    Args:
        source, recipe, name, from_run, runs, settings: as `train`.
    Returns:
        The training; it begins when it is read.
    Raises:
        TuirnnError: settings that no run can have.
    """
    config, parent, given = _configured(source, recipe, from_run, runs, settings)
    return _new(config, parent, given, name, runs)


def _configured(
    source: Sources, recipe: str | None, from_run: Run | str | Path | None, runs: str | Path | None,
    settings: Mapping[str, Any],
) -> tuple[RunConfig, "Parent | None", Collection[str]]:  # fmt: skip
    """The settings of a new run, the run it begins with, and the settings that somebody gave."""
    from tuirnn.cli.train import configured, given_settings

    sources = [] if source is None else [source] if isinstance(source, (str, Path)) else list(source)
    begun = None if from_run is None else (from_run if isinstance(from_run, Run) else Run(from_run, runs)).paths
    given = plain(settings)
    config, parent = configured(recipe, begun, list(map(str, sources)), given)
    return config, parent, given_settings(recipe, parent, given)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose values may come from NumPy."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in settings.items()}


def _new(
    config: RunConfig, parent: "Parent | None", given: Collection[str], name: str | None, runs: str | Path | None
) -> Training:
    folder = runs_folder(None if runs is None else Path(runs))
    paths = RunPaths(folder / (check_free(folder, name) if name else detached.default_name(config, folder)))

    def begin(report: "Report") -> str:
        from tuirnn.survey import suiting

        with told("use a part of the data, such as fraction=0.1"):
            data = parent.load(config) if parent else tasks.load(config.data)
        fitted, said = suiting(config, partial(config.task.suited, data), given)
        return str(prepared().start(fitted, folder, paths.name, report, data=data, parent=parent, said=said))

    return Training(paths, begin)


def prepared() -> Any:
    """The module that starts trainings; raises OutOfMemoryError where there is no room for PyTorch."""
    need_room(TO_TRAIN)
    if "torch" not in sys.modules:
        share_cores()
    from tuirnn.training import launch

    return launch


def shown(
    training: Training, config: RunConfig, callback: "Callable[[Event], object] | None", progress: bool | None
) -> Run:
    """Train to the end; see `train`."""
    with reporter(config, training.folder, progress) as report, contextlib.closing(iter(training)) as read:
        for event in read:
            report(event)
            if callback is not None:
                callback(event)
    return training.run


def reporter(config: RunConfig, folder: Path, progress: bool | None) -> "PlainReport":
    """What shows a training's events; `progress` as for `train`."""
    from tuirnn.cli.progress import PlainReport, SilentReport, TerminalReport

    terminal, notebook = sys.stdout.isatty(), "ipykernel" in sys.modules
    if progress is False or not (progress or terminal or notebook):
        return SilentReport(config, notes=progress is None)
    runs = None if folder == runs_folder() else folder
    if notebook:
        from tuirnn.api.notebook import NotebookReport

        return NotebookReport(config, runs)
    return (TerminalReport if terminal else PlainReport)(config, runs)
