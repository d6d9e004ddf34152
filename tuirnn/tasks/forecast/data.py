"""Numeric series: what comes next? Columns of a table that hold numbers, in the order of time; see `reading`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tuirnn.errors import DataError
from tuirnn.scaling import Scaling, Series
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import sources
from tuirnn.tasks.batches import Batches
from tuirnn.tasks.builtin import SINCOS
from tuirnn.tasks.forecast import reading
from tuirnn.tasks.forecast.parts import share, split_points
from tuirnn.tasks.forecast.reading import Real
from tuirnn.tasks.windows import WINDOWS
from tuirnn.vocab import Vocabulary


@dataclass(frozen=True)
class SeriesData:
    """A series in chronological splits: train | test | validation.

    Attributes:
        name, sha256, raw: as of `lm.TextData`.
        values: all points, in the data's own units.
        train, val, test: the same in parts.
        scaling: fitted on `train`.
        notes: what was understood, left out or filled in, a line each.
        real: which values are in the table [n, F], the others being filled in; None: all.
        read: how the table was read.
    """

    name: str
    sha256: str
    raw: bytes
    values: Series
    train: Series
    val: Series
    test: Series
    scaling: Scaling
    notes: tuple[str, ...] = ()
    real: Real | None = None
    read: dict[str, Any] = field(default_factory=dict)

    @property
    def vocab(self) -> Vocabulary:
        """Of no symbols."""
        return Vocabulary("point")

    @property
    def inputs(self) -> int:
        """Width of a point."""
        return len(self.scaling)

    @property
    def outputs(self) -> int:
        """Width of the forecast: the next point."""
        return len(self.scaling)

    def batches(self, config: TrainConfig) -> Batches:
        """The training split, normalised, as `config` wants it: a text whose tokens are points [F].

        Raises:
            DataError: it is too short, or cannot be cut in that way.
        """
        if config.batches not in WINDOWS:
            raise DataError(f"a series is cut by --batches {', '.join(WINDOWS)}, not {config.batches}")
        if len(self.train) <= config.seq_len:
            raise DataError(
                f"{self.name} has {len(self.train):,} rows to train on, fewer than --seq-len {config.seq_len} and the "
                f"next; lower --seq-len below {len(self.train):,} or give a longer series"
            )
        points: Any = self.scaling.normalise(self.train).astype(np.float32)
        targets = points if self.real is None else np.where(self.real[: len(points)], points, np.float32(np.nan))
        return WINDOWS[config.batches](points, config, targets=targets)

    def summary(self) -> dict[str, Any]:
        """For the run's record: name, hash, columns with their normalisation, the splits' lengths, how it was read."""
        splits = {"train": len(self.train), "val": len(self.val), "test": len(self.test)}
        return {"name": self.name, "sha256": self.sha256, **self.scaling.to_json(), **splits, "read": self.read}

    def unknown(self) -> list[str]:
        """Nothing: a table that lacks a column has been refused."""
        return []

    def until(self, which: str) -> tuple[Series, int]:
        """The series up to the end of a held-out part ('val' or 'test'), and where that part begins."""
        first = len(self.train) + (len(self.test) if which == "val" else 0)
        return self.values[: first + len(getattr(self, which))], first

    def real_until(self, which: str) -> Real | None:
        """Which values of `until` are in the table; None: all."""
        return None if self.real is None else self.real[: len(self.until(which)[0])]


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
        known: summary of an existing run's data, whose columns and normalisation hold.
        stdin: a run's copy of standard input.
    Raises:
        DataError: no table of numbers, or too few of them.
    """
    source = read_source(config.sources, stdin)
    scaling = None if known is None else Scaling.from_json(known)
    points = _read(source, config, known, scaling)
    values = share(points.values, config)
    real = None if points.real is None else share(points.real, config)
    train, test, val = split_points(values, config)
    if len(train) < 2 or len(val) < 2:
        raise DataError(
            f"{source.name} has {len(values):,} rows, too few to split into training and validation; give a longer one"
        )
    scaling = scaling or Scaling.fit(points.columns, train)
    return SeriesData(
        source.name, source.sha256, source.data, values, train, val, test, scaling, points.notes, real, points.read
    )


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
    return reading.known_series(table, scaling.columns, config.time_column, config.date_order)


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
