"""A forecaster's cell file at work: points in, the next points out, step by step, in the data's own units."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.errors import ConfigError, DataError
from tuirnn.runs.layout import find_run
from tuirnn.runs.reader import present_record
from tuirnn.runtime.data import run_data
from tuirnn.runtime.session import CellSession
from tuirnn.scaling import Scaling
from tuirnn.tasks import rollout, tables
from tuirnn.tasks.forecast import Series, SeriesData, read_columns, read_source


def scaling_of(metadata: CellMetadata, name: str) -> Scaling:
    """A forecaster's columns and normalisation; raises ConfigError for a network of another task."""
    if metadata.scaling is None:
        what = "classifier" if metadata.classes else "language model"
        raise ConfigError(f"{name} is a {what} and forecasts nothing")
    return metadata.scaling


@dataclass
class CellReader:
    """A cell file as `tasks.rollout.Reader`; keeps a session for each number of sequences side by side."""

    cell: TrustedCell
    device: str = "auto"
    _sessions: dict[int, CellSession] = field(default_factory=dict)

    def begin(self, batch: int) -> None:
        """See `Reader.begin`."""
        if batch not in self._sessions:
            self._sessions[batch] = CellSession(self.cell, device=self.device, batch=batch)
        self._session = self._sessions[batch]
        self._session.reset()

    def read(self, x: Series) -> Series:
        """See `Reader.read`."""
        return np.stack([self._session.step(points).astype(np.float64) for points in x])


MOST_READ = 100_000
"""Points of a history that a carried state is made of."""

HORIZON = 200
"""Steps of a roll-out where nothing says otherwise."""


@dataclass(frozen=True)
class Found:
    """A series [n, F] to forecast, or to judge forecasts on from the point `first` on."""

    what: str
    values: Series
    first: int
    horizon: int = HORIZON
    notes: tuple[str, ...] = ()


def series(model: str, folder: Path, cell: TrustedCell, table: str | None, *, whole: bool = False) -> Found:
    """A table's columns as a network reads them, or its run's own data.

    Args:
        model: a run of `folder`, or a cell file.
        folder: of runs.
        cell: of the model.
        table: a file, a data set or '-'; None: the run's own data.
        whole: all of the run's data, not only up to the end of its held-out part (the test part where there is one).
    Raises:
        DataError: a table with other columns, too few rows, or cells that are no numbers; data that has changed.
        ConfigError: a cell file, which has no data of its own, without a table.
    """
    scaling = scaling_of(cell.metadata, model)
    if table is not None:
        source = read_source((table,))
        values, notes = read_columns(tables.read(source.text(), source.name), scaling.columns)
        first = max(1, cell.metadata.look_back)
        if len(values) < first + (not whole):
            raise DataError(
                f"{source.name} has {len(values)} rows; this network reads {first} before its first forecast"
                + ("" if whole else f", and takes {first + 1} to be judged")
            )
        return Found(source.name, values, first, notes=tuple(notes))
    if model.endswith(".onnx"):
        raise ConfigError("a cell file has no series of its own; name a table of numbers")
    paths = find_run(folder, model)
    data = run_data(paths)
    assert isinstance(data, SeriesData)
    if whole:
        return Found(data.name, data.values, len(data.values))
    which = "test" if len(data.test) else "val"
    return Found(f"its {which} split", *data.until(which), present_record(paths).config.train.horizon)


def forecast(cell: TrustedCell, history: Series, horizon: int, *, device: str = "auto") -> Series:
    """The points [horizon, F] that a cell expects after a history [n, F], each forecast read as if it were true."""
    reader = CellReader(cell, device)
    return rollout.roll_out(reader, history[-MOST_READ:, None], horizon, cell.metadata.look_back)[:, 0]


def measure(cell: TrustedCell, values: Series, first: int, *, horizon: int, device: str = "auto") -> rollout.Figures:
    """Judge a cell's forecasts of values[first:]; see `tasks.rollout.measure`."""
    scaling = scaling_of(cell.metadata, "this network")
    back = cell.metadata.look_back
    return rollout.measure(CellReader(cell, device), values, first, scaling, look_back=back, horizon=horizon)
