"""Runs from Python: what is known of one, its numbers, its picture, its cell."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from tuirnn.api.settings import Settings
from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError
from tuirnn.runs import control
from tuirnn.runs.export import COLUMNS, rows
from tuirnn.runs.layout import RunPaths, find_run, run_names, runs_folder
from tuirnn.runs.listing import list_runs, summarize
from tuirnn.runs.reader import LogTail, RunRecord, Status, as_number, present_record, read_status

if TYPE_CHECKING:
    from tuirnn.api.cells import AnyCell
    from tuirnn.api.loading import C
    from tuirnn.diagnosis import Finding

Column = npt.NDArray[Any]


class Metrics(Mapping[str, Column]):
    """A table of what a training has measured: a column of NumPy for each name, all of one length [n].

    `step` is int64, `split` ('train' or 'val') a text, everything else float64 with NaN where a record lacks it.

    Args:
        columns: by name.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        n = len(self._columns["step"])
        return f"Metrics({n:,} record{'s' * (n != 1)}: {', '.join(self._columns)})"

    def to_pandas(self) -> Any:
        """The same as a `pandas.DataFrame`; raises ConfigError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ConfigError("to_pandas() needs pandas; install it with: pip install pandas") from None
        return pandas.DataFrame(self._columns)


class Run:
    """A run: a training, over or under way, here or on another machine that sees its folder. It is read anew each time.

    Args:
        name: of the run, or the path of its folder.
        runs: folder of runs; None: `$TUIRNN_RUNS`, else `./checkpoints`.
    Raises:
        RunError: there is no such run.
    """

    def __init__(self, name: str | Path, runs: str | Path | None = None) -> None:
        name = str(name.absolute()) if isinstance(name, Path) else name
        self.paths: RunPaths = find_run(runs_folder(None if runs is None else Path(runs)), name)

    def __repr__(self) -> str:
        status, best = self.status, self.best_loss
        judged = f", best {best:.4g} {self.unit}" if math.isfinite(best) else ""
        return f"<Run {self.name}: {status.state}, step {status.step:,}{judged}>"

    @property
    def name(self) -> str:
        """What it is called."""
        return self.paths.name

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.paths.root

    @property
    def record(self) -> RunRecord:
        """What it is: settings, vocabulary, data, machine; with the changes that resumes have made."""
        return present_record(self.paths)

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting by its name, as `tuirnn.train` takes it."""
        return self.record.config.flat()

    @property
    def task(self) -> str:
        """The name of what it learns."""
        return self.record.config.task.name

    @property
    def parent(self) -> dict[str, Any] | None:
        """The run whose weights it began with, as {'run': name, 'step': number, …}; None: they were drawn."""
        return self.record.parent

    @property
    def status(self) -> Status:
        """How it stands: state, step, speed, losses, time left."""
        return read_status(self.paths)

    @property
    def state(self) -> str:
        """One of starting, running, paused, silent, done, stopped, failed, stale."""
        return self.status.state

    @property
    def step(self) -> int:
        """Training steps taken."""
        return self.status.step

    @property
    def best_loss(self) -> float:
        """The lowest held-out loss, in `unit`; NaN before the first evaluation."""
        return self.status.best_val_loss if self.status.best_step else math.nan

    @property
    def unit(self) -> str:
        """What the loss is in, such as 'nats/char'."""
        return summarize(self.paths).judgement.loss.unit

    @property
    def notes(self) -> list[str]:
        """What the trainings of this run had to say once, a line each."""
        return [str(event.get("message")) for event in LogTail(self.paths.events).records() if event["event"] == "note"]

    @property
    def findings(self) -> "tuple[Finding, ...]":
        """What its logs say about how it learns, the most serious first, as `tuirnn runs show` tells it.

        Each has a `name`, says `what` was found, the `evidence` for it, and an `advice` what to try.
        """
        from tuirnn.diagnosis import findings_of

        return findings_of(summarize(self.paths))

    def metrics(self, split: str | None = None) -> Metrics:
        """The numbers of the training.

        Args:
            split: 'train', one record a step; 'val', one an evaluation; None: both, in order.
        Raises:
            ConfigError: another split.
        """
        if split not in (None, "train", "val"):
            raise ConfigError(f"split must be 'train' or 'val', not {split!r}; leave it out for both")
        records = [record for record in rows(self.paths) if split in (None, record.get("split"))]
        names = dict.fromkeys((*COLUMNS, *(name for record in records for name in record)))
        columns: dict[str, Column] = {}
        for name in names:
            values = [record.get(name) for record in records]
            if name == "split":
                columns[name] = np.array(list(map(str, values)), dtype=np.str_)
            elif name == "step":
                columns[name] = np.array(values, np.int64)
            elif any(value is not None for value in values) or name == "loss":
                columns[name] = np.array([as_number(value) for value in values], np.float64)
        return Metrics(columns)

    def plot(self, path: str | Path | None = None, *, by: str = "step") -> Any:
        """A picture of its losses and other held-out figures, an axis for each unit.

        Args:
            path: a file to write as well, whose ending names the format.
            by: what lies on the horizontal axis: 'step', 'tokens' or 'time'.
        Returns:
            A figure of matplotlib, which a notebook shows.
        Raises:
            ConfigError: matplotlib is not installed, or another `by`.
            RunError: the file cannot be written.
        """
        from tuirnn.api.pictures import picture

        return picture([self.paths], None if path is None else Path(path), by)

    def export(
        self,
        path: str | Path | None = None,
        *,
        checkpoint: str | int = "best",
        precision: str = "fp32",
        max_loss_increase: float = 0.005,
        with_sampler: bool = False,
        unroll: int = 1,
        block: int | None = None,
        prime: str | None = None,
        card: Mapping[str, str] | None = None,
        opset: int | None = None,
        ir: int | None = None,
        static_batch: int | None = None,
        c: bool = False,
        c_prefix: str | None = None,
        html: bool = False,
        wasm: bool = False,
    ) -> Path:
        """Write one step of the network as a self-contained ONNX file, as `tuirnn export` does.

        Args:
            path: where to; None: ./export/cells/RUN.onnx.
            checkpoint: 'best', 'last' or a step.
            precision, max_loss_increase, with_sampler, unroll, block, prime, card, opset, ir, static_batch, c,
                c_prefix, html, wasm: as there.
        Returns:
            The file.
        Raises:
            TuirnnError: what the command would say.
        """
        from tuirnn.cellfile.card import card_of
        from tuirnn.cli.export import write_run
        from tuirnn.export.options import CellOptions

        made = card_of(f"{key}={text}" for key, text in (card or {}).items())
        options = CellOptions(precision, opset, ir, static_batch, with_sampler, unroll, block, prime, made)
        output = None if path is None else Path(path)
        return write_run(
            self.paths, str(checkpoint), output, options, c, c_prefix, max_loss_increase, as_page=html, wasm=wasm
        ).path

    @overload
    def load(self, *, checkpoint: str | int = "best", device: str = "auto") -> "AnyCell": ...
    @overload
    def load(self, kind: "type[C]", *, checkpoint: str | int = "best", device: str = "auto") -> "C": ...
    def load(self, kind: Any = None, *, checkpoint: str | int = "best", device: str = "auto") -> Any:
        """The network, ready to work; see `tuirnn.load`."""
        from tuirnn.api.loading import load

        return load(self, kind, checkpoint=checkpoint, device=device)

    def resume(
        self,
        *,
        callback: Any = None,
        progress: bool | None = None,
        **changes: Unpack[Settings],
    ) -> "Run":
        """Go on from the last checkpoint, as `tuirnn train --resume`.

        Args:
            callback, progress: see `tuirnn.train`.
            changes: settings that a run may change, such as a larger steps=….
        Raises:
            TuirnnError: what the command would say.
        """
        from tuirnn.api.training import Training, plain, prepared, shown

        given = plain(changes)
        config: RunConfig = self.record.config.replace(**given)
        config.check_given(given)
        training = Training(self.paths, lambda report: str(prepared().resume(self.paths, given, report)))
        return shown(training, config, callback, progress)

    def stop(self) -> None:
        """Ask its trainer, wherever that is, to write a checkpoint and end; does not wait for it."""
        control.send(self.paths, control.Request("stop"))


def runs(folder: str | Path | None = None) -> list[Run]:
    """The runs of a folder, the newest first; those whose record is damaged at the end.

    Args:
        folder: None: `$TUIRNN_RUNS`, else `./checkpoints`.
    """
    where = runs_folder(None if folder is None else Path(folder))
    return [Run(one.paths.root) for one in list_runs(where)] if run_names(where) else []
