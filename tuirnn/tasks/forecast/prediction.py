"""A forecaster's answers: points in, the next points out, in the data's own units."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tuirnn.calibration import LAST, SEASONAL, Calibration
from tuirnn.errors import DataError
from tuirnn.scaling import Scaling, Series
from tuirnn.tasks.forecast import fitting, lately, reading, report, rollout, season
from tuirnn.tasks.forecast.axis import group_names
from tuirnn.tasks.forecast.data import SeriesData, read_source
from tuirnn.tasks.forecast.figures import Figures
from tuirnn.tasks.history import Forecast, History
from tuirnn.tasks.task import Held, OpenCell, Stepper

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
        return self._stepper.read(x).astype(np.float64)


def scaling_of(cell: OpenCell) -> Scaling:
    """The columns and the normalisation of a forecaster."""
    assert cell.metadata.scaling is not None  # the reader of cell files has seen to it
    return cell.metadata.scaling


def histories(cell: OpenCell, held: Held, *, whole: bool) -> list[History]:
    """A table's columns as a network reads them, or its run's own data; see `Task.histories`."""
    if held.given is not None:
        return _of_table(cell, held, whole=whole)
    data = held.data()
    assert isinstance(data, SeriesData)
    if whole:
        return data.whole()
    found = data.held("test", held.horizon)
    return found or data.held("val", held.horizon)


def _of_table(cell: OpenCell, held: Held, *, whole: bool) -> list[History]:
    """The series of a table that the user names."""
    assert held.given is not None
    source, scaling = read_source((held.given,)), scaling_of(cell)
    table = reading.read_table(source, dataclasses.replace(held.reading, names=scaling.columns))
    time, group = (str(held.read.get(key, "")) for key in ("time_column", "group_column"))
    grouped = set(group_names(table, group)) <= set(table.names)
    points = reading.known_series(
        table, scaling.columns, time if time in table.names else "", group=group if grouped else ""
    )
    first = max(1, cell.metadata.look_back)
    found: list[History] = []
    for one in points.groups:
        if one.last - one.first < first + (not whole):
            continue
        values = points.values[one.first : one.last]
        found.append(
            History(
                source.name,
                values,
                len(values) if whole else first,
                held.horizon,
                points.notes if not found else (),
                None if points.real is None else points.real[one.first : one.last],
                one.clock,
                fitting.calendar_of(one.clock, scaling, len(values)),
                one.name,
            )
        )
    if not found:
        raise DataError(
            f"{source.name} has {len(points.values)} rows; this network reads {first} before its first forecast"
            + ("" if whole else f", and takes {first + 1} to be judged")
        )
    return found


def go_on(cell: OpenCell, history: History, horizon: int) -> Forecast:
    """See `Task.go_on`."""
    scaling, calibration = scaling_of(cell), cell.metadata.calibration
    clock = history.clock
    if scaling.periods and history.calendar is None:
        raise DataError("this network reads the calendar of the next point; give a table with a column of dates")
    calendar = None
    if scaling.periods and clock:
        calendar = scaling.calendar(clock.following(horizon + 1)[1:])[:, None]
    values = history.values[-MOST_READ:]
    before = rollout.fed(history)[-MOST_READ:, None]
    points = rollout.roll_out(CellReader(cell), before, horizon, cell.metadata.look_back, calendar)[:, 0]
    times = tuple(clock.labels(0, horizon)) if clock else ()
    if calibration is None:
        return Forecast(points, times=times)
    points = _by_calibration(points, values, calibration)
    width = calibration.half_widths(horizon)
    if calibration.scores:
        recent = rollout.latest_errors(
            CellReader(cell), _last(history), cell.metadata.look_back, calibration.season, calibration.one_step
        )
        width[0] = lately.deviation(recent, np.array(calibration.usual))[-1] * np.array(calibration.scores)
        width = np.maximum.accumulate(width, 0)
    return Forecast(
        points, points - width, points + width, times, tuple(report.fallbacks(calibration, scaling.columns))
    )


def _last(history: History) -> History:
    """As much of a history's end as its latest errors need."""
    cut = slice(max(0, len(history.values) - MOST_READ), None)
    return dataclasses.replace(
        history,
        values=history.values[cut],
        real=None if history.real is None else history.real[cut],
        calendar=None if history.calendar is None else history.calendar[cut],
    )


def _by_calibration(points: Series, values: Series, calibration: Calibration) -> Series:
    """The network's forecasts [H, F] with those of the naive methods where the calibration prefers them."""
    H, n = len(points), len(values)
    rows = n + np.arange(H)
    longer = np.concatenate([values, np.full_like(points, np.nan)])
    naive = {
        LAST: np.broadcast_to(values[-1], points.shape),
        SEASONAL: season.seasonal(longer, rows, np.full(H, n), calibration.season),
    }
    made = points.copy()
    for at, methods in ((slice(0, 1), calibration.one_step), (slice(1, None), calibration.rollout)):
        for f, method in enumerate(methods):
            if method in naive:
                found = naive[method][at, f]
                made[at, f] = np.where(np.isnan(found), values[-1, f], found)  # a history shorter than a season
    return made


def measure(cell: OpenCell, found: Sequence[History], *, origins: int = rollout.ORIGINS) -> Figures:
    """Judge a cell's forecasts; see `rollout.measure`."""
    calibration = cell.metadata.calibration
    return rollout.measure(
        CellReader(cell), found, scaling_of(cell), look_back=cell.metadata.look_back, origins=origins,
        season=calibration.season if calibration else 1,
        naive_mae=_scale(calibration), calibration=calibration,
    )  # fmt: skip


def _scale(calibration: Calibration | None) -> Series | None:
    """What MASE divides by; NaN where it is not known."""
    if calibration is None:
        return None
    kept = np.array(calibration.naive_mae)
    return np.where(kept > 0, kept, np.nan)
