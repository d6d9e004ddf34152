"""A forecaster's answers: points in, the next points out, in the data's own units."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from tuirnn.errors import DataError
from tuirnn.scaling import Scaling, Series
from tuirnn.tasks.forecast import reading, rollout
from tuirnn.tasks.forecast.data import SeriesData, read_source
from tuirnn.tasks.forecast.reading import Real
from tuirnn.tasks.task import Held, History, OpenCell, Stepper

MOST_READ = 100_000
"""Points of a history that a carried state is made of."""


@dataclass
class CellReader:
    """A cell file as `rollout.Reader`; keeps a stepper for each number of sequences side by side."""

    cell: OpenCell
    _steppers: dict[int, Stepper] = field(default_factory=dict)

    def begin(self, batch: int) -> None:
        """See `Reader.begin`."""
        if batch not in self._steppers:
            self._steppers[batch] = self.cell.stepper(batch)
        self._stepper = self._steppers[batch]
        self._stepper.reset()

    def read(self, x: Series) -> Series:
        """See `Reader.read`."""
        return np.stack([self._stepper.step(points).astype(np.float64) for points in x])


def scaling_of(cell: OpenCell) -> Scaling:
    """The columns and the normalisation of a forecaster."""
    assert cell.metadata.scaling is not None  # the reader of cell files has seen to it
    return cell.metadata.scaling


def history(cell: OpenCell, held: Held, *, whole: bool) -> History:
    """A table's columns as a network reads them, or its run's own data; see `Task.history`."""
    if held.given is not None:
        source, columns = read_source((held.given,)), scaling_of(cell).columns
        table = reading.read_table(source, dataclasses.replace(held.reading, names=columns))
        time = str(held.read.get("time_column", ""))
        points = reading.known_series(table, columns, time if time in table.names else "")
        values, first = points.values, max(1, cell.metadata.look_back)
        if len(values) < first + (not whole):
            raise DataError(
                f"{source.name} has {len(values)} rows; this network reads {first} before its first forecast"
                + ("" if whole else f", and takes {first + 1} to be judged")
            )
        return History(source.name, values, first, notes=points.notes, real=points.real)
    data = held.data()
    assert isinstance(data, SeriesData)
    if whole:
        return History(data.name, data.values, len(data.values))
    which = "test" if len(data.test) else "val"
    return History(f"its {which} split", *data.until(which), held.horizon, real=data.real_until(which))


def go_on(cell: OpenCell, values: Series, horizon: int) -> Series:
    """See `Task.go_on`."""
    reader = CellReader(cell)
    return rollout.roll_out(reader, values[-MOST_READ:, None], horizon, cell.metadata.look_back)[:, 0]


def measure(cell: OpenCell, values: Series, first: int, *, horizon: int, real: Real | None = None) -> rollout.Figures:
    """Judge a cell's forecasts of values[first:]; see `rollout.measure`."""
    back = cell.metadata.look_back
    return rollout.measure(
        CellReader(cell), values, first, scaling_of(cell), look_back=back, horizon=horizon, real=real
    )
