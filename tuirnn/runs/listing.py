"""All runs of a folder at a glance."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tuirnn.errors import RunError
from tuirnn.figures import Judgement
from tuirnn.runs.judgement import judgement
from tuirnn.runs.layout import RunPaths, run_names
from tuirnn.runs.notes import NO_NOTES, Notes, read_notes
from tuirnn.runs.reader import RunRecord, Status, read_record, read_status
from tuirnn.tasks.task import Task


@dataclass(frozen=True)
class RunSummary:
    """One run's record and status; `problem` says why the record could not be read, `spark` is its loss in short."""

    paths: RunPaths
    status: Status
    record: RunRecord | None
    problem: str = ""
    spark: tuple[float, ...] = ()
    notes: Notes = NO_NOTES

    @property
    def name(self) -> str:
        """The run's name."""
        return self.paths.name

    @property
    def leaky(self) -> bool:
        """Whether its held-out figures come from a split that overlaps."""
        return self.record is not None and self.record.leaky

    @property
    def task(self) -> Task | None:
        """What it learns; None where that cannot be read."""
        return self.record.config.task if self.record else None

    @property
    def speed_in(self) -> str:
        """What its speed is counted in."""
        return self.task.speed if self.task else "tokens"

    @cached_property
    def judgement(self) -> Judgement:
        """What its held-out data are judged by."""
        return judgement(self.record)

    @property
    def worse_than_guessing(self) -> bool:
        """Whether a network that writes is surprised more than one that holds all of its symbols equally likely."""
        if self.record is None or not self.record.config.task.writes or not self.status.best_step:
            return False
        return self.status.best_val_loss > math.log(max(len(self.record.vocab), 2))

    @property
    def cell(self) -> str:
        """Such as 'LSTM 256' or 'GRU-BEFORE 512×3'."""
        if self.record is None:
            return "?"
        model = self.record.config.model
        return f"{model.recurrent.name.upper()} {model.hidden}" + (f"×{model.layers}" if model.layers > 1 else "")


def summarize(paths: RunPaths) -> RunSummary:
    """Read one run's summary; never raises for a damaged run."""
    try:
        return RunSummary(paths, read_status(paths), read_record(paths), notes=read_notes(paths))
    except RunError as error:
        return RunSummary(paths, Status(state="damaged"), None, str(error))


def list_runs(folder: Path) -> list[RunSummary]:
    """The runs in `folder`, the newest first, damaged ones last."""
    summaries = [summarize(RunPaths(folder / name)) for name in run_names(folder)]
    return sorted(summaries, key=lambda run: -(run.record.created if run.record else 0.0))
