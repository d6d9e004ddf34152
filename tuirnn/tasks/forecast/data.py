"""Numeric series: what comes next? Columns of a table that hold numbers, in the order of time; see `reading`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.errors import DataError
from tuirnn.machine import give_back_freed_memory
from tuirnn.scaling import Scaling, Series
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import sources
from tuirnn.tasks.batches import Batches
from tuirnn.tasks.builtin import SINCOS
from tuirnn.tasks.forecast import batches, fitting, reading, season
from tuirnn.tasks.forecast.batches import Rows
from tuirnn.tasks.forecast.filling import Real
from tuirnn.tasks.forecast.parts import FORMER_ORDER, ORDER, Group, end_to_end, joined, rows_of
from tuirnn.tasks.history import History
from tuirnn.vocab import Vocabulary

PIECE = 2**15
"""Rows that are normalised at a time: what it takes stays in the processor's cache."""

JUDGED = 12
"""Arrays of the validation part's size that an evaluation makes: errors by method, their squares, recent deviations."""

LEAST_KNOWN = 10
"""Rows from which something can be said of a series before its training."""


@dataclass(frozen=True)
class SeriesData:
    """A series, or several of a table one after the other, each in chronological parts: train | validation | test.

    Attributes:
        name, sha256, raw: as of `lm.TextData`.
        values: all points, in the data's own units.
        scaling: fitted on the training parts.
        config: settings, which say how long the parts are.
        notes: what was understood, left out or filled in, a line each.
        real: which values are in the table [n, F], the others being filled in; None: all.
        read: how the table was read.
        groups: the series.
        season: points; 1: none.
        order: of the parts.
    """

    name: str
    sha256: str
    raw: bytes
    values: Series
    scaling: Scaling
    config: DataConfig
    notes: tuple[str, ...] = ()
    real: Real | None = None
    read: dict[str, Any] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    season: int = 1
    order: tuple[str, ...] = ORDER

    def part(self, which: str) -> Series:
        """The rows of a part, of all groups."""
        return joined(self.values, self._rows(which))

    def lengths(self, which: str) -> list[int]:
        """Rows of a part in each group."""
        return [rows.stop - rows.start for rows in self._rows(which)]

    def _rows(self, which: str) -> list[slice]:
        return rows_of(self.groups, which, self.config, self.order)

    @cached_property
    def train(self) -> Series:
        """The rows that are learned from."""
        return self.part("train")

    @cached_property
    def val(self) -> Series:
        """The rows that checkpoints are chosen by."""
        return self.part("val")

    @cached_property
    def test(self) -> Series:
        """The rows that nothing is chosen by."""
        return self.part("test")

    @cached_property
    def naive_mae(self) -> Series:
        """What MASE divides by, [F]."""
        return season.naive_mae([self.values[rows] for rows in self._rows("train")], self.season)

    @property
    def vocab(self) -> Vocabulary:
        """Of no symbols."""
        return Vocabulary("point")

    @property
    def inputs(self) -> int:
        """Width of a point and its calendar."""
        return self.scaling.inputs

    @property
    def outputs(self) -> int:
        """Width of the forecast: the next point."""
        return len(self.scaling)

    @property
    def memory(self) -> float:
        """Bytes of the points, of what is read and said of the training part, and of an evaluation's errors."""
        train, val = len(self.train), len(self.val)
        points = self.values.nbytes + (0 if self.real is None else self.real.nbytes)
        return points + 4.0 * train * (self.inputs + self.outputs) + JUDGED * 8.0 * val * self.outputs

    def batches(self, config: TrainConfig) -> Batches:
        """The training parts, normalised, as `config` wants them: a text whose tokens are points with their calendar.

        Raises:
            DataError: they are too short, or cannot be cut in that way.
        """
        read, said, lengths = self._learned
        return batches.make(self.name, read, said, lengths, config)

    @cached_property
    def _learned(self) -> tuple[Rows, Rows, list[int]]:
        """What a network reads of the training parts [n, inputs], what it is to say [n, F], and the rows of each."""
        points, targets = [], []
        for group, rows in zip(self.groups, self._rows("train"), strict=True):
            x, y = self.network_rows(group, group.first, rows.stop)
            points.append(x)
            targets.append(y)
        return end_to_end(points), end_to_end(targets), list(map(len, points))

    def network_rows(self, group: Group, first: int, last: int) -> tuple[Rows, Rows]:
        """What a network reads of some rows of a group [n, inputs], and what it is to say of each [n, F]: float32.

        Args:
            group: of the series.
            first, last: rows, counted as those of `values`; `last` is not among them.
        """
        x, y = (np.empty((last - first, width), np.float32) for width in (self.inputs, self.outputs))
        for at in range(first, last, PIECE):
            rows = slice(at, min(at + PIECE, last))
            values = self.values[rows]
            before = self.values[np.maximum(np.arange(at, rows.stop) - 1, group.first)]
            calendar = fitting.calendar_of(group.clock, self.scaling, len(values), at - group.first)
            said = self.scaling.targets(values, before)
            piece = slice(at - first, rows.stop - first)
            x[piece] = self.scaling.fed(values if calendar is None else np.concatenate([values, calendar], 1), before)
            y[piece] = said if self.real is None else np.where(self.real[rows], said, np.nan)
        return x, y

    def summary(self) -> dict[str, Any]:
        """For the run's record: name, hash, columns with their normalisation, the parts, how the table was read."""
        parts = {which: len(getattr(self, which)) for which in ("train", "val", "test")}
        further = {"order": list(self.order), "season": self.season, "groups": len(self.groups)}
        return {
            "name": self.name, "sha256": self.sha256, **self.scaling.to_json(), **parts, **further, "read": self.read
        }  # fmt: skip

    def unknown(self) -> list[str]:
        """Nothing: a table that lacks a column has been refused."""
        return []

    def held(self, which: str, horizon: int) -> list[History]:
        """Each series up to the end of a held-out part ('val' or 'test') which has rows, and where the part begins."""
        found = []
        for group, rows in zip(self.groups, self._rows(which), strict=True):
            if rows.stop > rows.start:
                found.append(self.history(group, rows.stop, rows.start - group.first, horizon, f"its {which} split"))
        return found

    def whole(self) -> list[History]:
        """Each series to its end."""
        return [self.history(group, group.last, group.last - group.first, 1, self.name) for group in self.groups]

    def history(self, group: Group, last: int, first: int, horizon: int, what: str) -> History:
        """A group up to a row, judged from its row `first` on."""
        values = self.values[group.first : last]
        clock = group.clock.part(0, len(values)) if group.clock else None
        return History(
            what,
            values,
            first,
            horizon,
            real=None if self.real is None else self.real[group.first : last],
            clock=clock,
            calendar=fitting.calendar_of(group.clock, self.scaling, len(values)),
            group=group.name,
        )

    def until(self, which: str) -> tuple[Series, int]:
        """The first series up to the end of a held-out part, and where that part begins."""
        history = self.held(which, 1)[0]
        return history.values, history.first


def look_back(config: TrainConfig) -> int:
    """Points that the network reads from a zero state for each forecast; 0: it carries its state along the series.

    It is used as it learned: from the last step of windows, or at every step.
    """
    return 0 if learns_every_step(config) else config.seq_len


def learns_every_step(config: TrainConfig) -> bool:
    """Whether every step counts in the loss: where asked for, and in a stream, which has no last step."""
    return config.every_step or config.batches == "stream"


def load(config: DataConfig, *, known: Mapping[str, Any] | None = None, stdin: Path | None = None) -> SeriesData:
    """Read and split a series.

    Args:
        config: one table, and which of its columns.
        known: summary of an existing run's data, whose columns, normalisation and order of parts hold.
        stdin: a run's copy of standard input.
    Raises:
        DataError: no table of numbers, or too few of them.
    """
    source = read_source(config.sources, stdin)
    scaling = None if known is None else Scaling.from_json(known)
    points = _read(source, config, known, scaling)
    give_back_freed_memory()  # of the table
    groups = tuple(group.shortened(config, group.first) for group in points.groups)
    order = ORDER if known is None or known.get("order") == list(ORDER) else FORMER_ORDER
    too_short = [g for g in groups if any(b - a < 2 for w, (a, b) in g.parts(config, order).items() if w != "test")]
    if len(too_short) == len(groups):
        raise DataError(
            f"{source.name} has {groups[0].last - groups[0].first:,} rows, too few to split into training and "
            "validation; give a longer one"
        )
    points = points.of([group for group in groups if group not in too_short])
    found, told = _season(points, config, order)
    notes = list(points.notes)
    if scaling is None:
        scaling, said = fitting.fit(points, config)
        notes += [told, *said]
    elif isinstance(known, Mapping) and type(known.get("season")) is int and not config.season:
        found = max(1, known["season"])
    return SeriesData(
        source.name, source.sha256, sources.read_once(source, config), points.values, scaling, config, tuple(notes),
        points.real, points.read, points.groups, found, order,
    )  # fmt: skip


def understood(source: sources.Source, config: DataConfig) -> tuple[list[str], reading.Points]:
    """What a new run would make of a table, in words, and its points."""
    points = reading.new_series(source, config)
    long = [group for group in points.groups if group.last - group.first >= LEAST_KNOWN]
    if not long:
        return [], points
    points = points.of(long)
    return [_season(points, config, ORDER)[1], *fitting.fit(points, config)[1]], points


def _season(points: reading.Points, config: DataConfig, order: tuple[str, ...]) -> tuple[int, str]:
    """The season of a series, and how it was found."""
    if config.season:
        return config.season, f"season: {config.season} points, as --season says"
    train = [points.values[rows] for rows in rows_of(points.groups, "train", config, order)]
    clock = points.groups[0].clock
    return season.find(train, clock.part(0, len(train[0])) if clock else None)


def _read(
    source: sources.Source, config: DataConfig, known: Mapping[str, Any] | None, scaling: Scaling | None
) -> reading.Points:
    """The points of a new run, or of one whose columns are known."""
    if scaling is None:
        return reading.new_series(source, config)
    before = sources.remembered(known, source)
    if before == {}:
        return reading.former_series(source, scaling.columns)
    table = reading.read_table(source, sources.given(config, scaling.columns), before)
    return reading.known_series(table, scaling.columns, config.time_column, config.date_order, config.group_column)


def read_source(names: tuple[str, ...], stdin: Path | None = None) -> sources.Source:
    """The one file, or data set, that a series comes from; the generated one where none is named."""
    if len(names) > 1:
        raise DataError(f"a series comes from one table, not from {len(names)} sources")
    return one_table(sources.parts(names[0] if names else SINCOS, stdin))


def one_table(files: list[tuple[str, bytes]]) -> sources.Source:
    """The only one of some files; raises DataError where there are more."""
    if len(files) > 1:
        raise DataError(f"a series comes from one table, not from a folder of {len(files)} files; name one of them")
    return sources.Source(*files[0])
