"""Numeric series: what comes next? Columns of a table that hold numbers, in the order of time.

What is done with imperfect tables, and said in the run's notes:

- a missing value (empty, NA, NaN, null, …) is taken to be the last one before it; rows before the first are left out;
- a column that holds no number, has no name, never changes in the training part, is mostly missing, or varies by less
  than float32 can tell beside its size, is left out; if it was asked for by name, that is an error;
- anything else that is not a finite number is an error that names its line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.scaling import LARGEST, MAX_COLUMNS, RESOLUTION, Scaling, Series
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import sources, tables
from tuirnn.tasks.batches import Batches
from tuirnn.tasks.builtin import SINCOS
from tuirnn.tasks.windows import WINDOWS, split
from tuirnn.vocab import Vocabulary

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
MOST_MISSING = 0.5
COARSE = 1e-3
"""Steps of float32 that a value may have, as a share of its column's deviation."""


@dataclass(frozen=True)
class SeriesData:
    """A series in chronological splits: train | test | validation.

    Attributes:
        name, sha256, raw: as of `lm.TextData`.
        values: all points, in the data's own units.
        train, val, test: the same in parts.
        scaling: fitted on `train`.
        notes: what was left out or filled in, a line each.
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
        return WINDOWS[config.batches](points, config)

    def summary(self) -> dict[str, Any]:
        """For the run's record: name, hash, columns with their normalisation, and the splits' lengths in points."""
        splits = {"train": len(self.train), "val": len(self.val), "test": len(self.test)}
        return {"name": self.name, "sha256": self.sha256, **self.scaling.to_json(), **splits}

    def unknown(self) -> list[str]:
        """Nothing: a table that lacks a column has been refused."""
        return []

    def until(self, which: str) -> tuple[Series, int]:
        """The series up to the end of a held-out part ('val' or 'test'), and where that part begins."""
        first = len(self.train) + (len(self.test) if which == "val" else 0)
        return self.values[: first + len(getattr(self, which))], first


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
        config: one CSV or TSV file, and which of its columns.
        known: summary of an existing run's data, whose columns and normalisation hold.
        stdin: a run's copy of standard input.
    Raises:
        DataError: no table of numbers, or too few of them.
    """
    source = read_source(config.sources, stdin)
    table = tables.read(source.text(), source.name)
    scaling = None if known is None else Scaling.from_json(known)
    if scaling is not None:
        columns = scaling.columns
        values, notes = read_columns(table, columns)
    else:
        wanted = tuple(name.strip() for name in config.columns.split(",") if name.strip())
        values, columns, notes = _choose(table, wanted, config)
    values = _share(values, config)
    train, test, val = _split(values, config)
    if len(train) < 2 or len(val) < 2:
        raise DataError(
            f"{source.name} has {len(values):,} rows, too few to split into training and validation; give a longer one"
        )
    scaling = scaling or Scaling.fit(columns, train)
    return SeriesData(source.name, source.sha256, source.data, values, train, val, test, scaling, tuple(notes))


def read_source(names: tuple[str, ...], stdin: Path | None = None) -> sources.Source:
    """The one file, or data set, that a series comes from; the generated one where none is named."""
    if len(names) > 1:
        raise DataError(f"a series comes from one table, not from {len(names)} sources")
    files = sources.parts(names[0] if names else SINCOS, stdin)
    if len(files) > 1:
        raise DataError(f"a series comes from one table, not from a folder of {len(files)} files; name one of them")
    return sources.Source(*files[0])


def read_columns(table: tables.Table, columns: tuple[str, ...]) -> tuple[Series, list[str]]:
    """The columns that a network knows, by name; by place where the table has no names but as many columns.

    Returns:
        values [n, F] and notes on what was filled in.
    Raises:
        DataError: other columns, or cells that are no numbers.
    """
    names, rows, named = _header(table)
    if set(columns) <= set(names):
        places = [names.index(name) for name in columns]
    elif not named and len(names) == len(columns):
        places = list(range(len(columns)))
    else:
        has = "columns " + ", ".join(names) if named else f"{len(names)} columns without names"
        raise DataError(
            f"{table.name} has {one_line(has, 100)}; this network reads {one_line(', '.join(columns), 100)}"
        )
    found = {}
    for name, place in zip(columns, places, strict=True):
        parsed = _Cells.parse(rows, place)
        parsed.refuse_text(table.name, name)
        found[name] = parsed.values
    filled, notes = _filled(found)
    return np.stack(list(filled.values()), 1), notes


def _choose(
    table: tables.Table, wanted: tuple[str, ...], config: DataConfig
) -> tuple[Series, tuple[str, ...], list[str]]:
    """The wanted columns, or all that can be used: values, names, and what was left out or filled in."""
    names, rows, _ = _header(table)
    for name in wanted:
        if name not in names:
            raise DataError(f"{table.name} has no column '{one_line(name, 60)}'; {nearest(name, filter(None, names))}")
    if twice := next((name for name in names if name and names.count(name) > 1), ""):
        raise DataError(f"{table.name} has two columns '{one_line(twice, 60)}'; give each a name of its own")
    found: dict[str, Series] = {}
    unfit: dict[str, str] = {}
    for place, name in enumerate(names):
        if wanted and name not in wanted:
            continue
        parsed = _Cells.parse(rows, place)
        if not name:
            unfit[str(place + 1)] = "has no name"
        elif not parsed.numbers:
            unfit[name] = "holds no numbers"
        elif parsed.numbers < (1 - MOST_MISSING) * len(rows) and parsed.strange is None:
            unfit[name] = "is mostly missing"
        else:
            parsed.refuse_text(table.name, name)
            found[name] = parsed.values
    notes = []
    filled, _ = _filled(found)
    for name, column in filled.items():
        if reason := _useless(_split(_share(column, config), config)[0]):
            unfit[name] = reason
    for name, reason in unfit.items():
        said = f"column '{one_line(name, 60)}' {reason}"
        if name in wanted:
            raise DataError(f"{table.name}: {said}; choose others with --columns")
        notes.append(f"{said}: left out")
    order = tuple(name for name in wanted or filled if name not in unfit)
    if not 1 <= len(order) <= MAX_COLUMNS:
        raise DataError(
            f"{table.name} has {len(order):,} columns to learn from, not 1 to {MAX_COLUMNS:,}: "
            + one_line("; ".join(notes) or "choose some with --columns", 200)
        )
    filled, filling = _filled({name: found[name] for name in order})
    return np.stack([filled[name] for name in order], 1), order, notes + filling


def _header(table: tables.Table) -> tuple[tuple[str, ...], list[tuple[int, list[str]]], bool]:
    """Names, rows, and whether the table has names; where its first line holds numbers, they are 1, 2, …"""
    names, rows = tuple(name.strip() for name in table.header), list(table.rows)
    if any(names) and all(to_number(name) is not None or name.lower() in MISSING for name in names):
        return tuple(str(place) for place in range(1, len(names) + 1)), [(1, list(names)), *rows], False
    return names, rows, True


@dataclass(frozen=True)
class _Cells:
    """One column: values [n] with NaN where they are missing, how many are numbers, and the first that is not one."""

    values: Series
    numbers: int
    strange: tuple[int, str] | None

    @classmethod
    def parse(cls, rows: list[tuple[int, list[str]]], place: int) -> "_Cells":
        """Read the column at `place` of rows, each with its line number."""
        values = np.full(len(rows), np.nan)
        numbers, strange = 0, None
        for i, (line, row) in enumerate(rows):
            value = to_number(row[place])
            if value is not None:
                values[i] = value
                numbers += 1
            elif strange is None and row[place].strip().lower() not in MISSING:
                strange = (line, row[place])
        return cls(values, numbers, strange)

    def refuse_text(self, table: str, name: str) -> None:
        """Raise DataError for the first cell that is neither a number nor missing."""
        if self.strange is not None:
            line, cell = self.strange
            raise DataError(
                f"{table}, line {line}: '{one_line(cell, 40)}' in column '{one_line(name, 60)}' is not a finite "
                "number such as -1.5; mend it, or choose other columns with --columns"
            )
        if not self.numbers:
            raise DataError(f"{table}: column '{one_line(name, 60)}' holds no numbers")


def to_number(cell: str) -> float | None:
    """The finite number in a cell; None where there is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) <= LARGEST and "_" not in cell else None


def _filled(found: dict[str, Series]) -> tuple[dict[str, Series], list[str]]:
    """The last value in place of each missing one, from the first row on at which every column has had one."""
    if not found:
        return {}, []
    values = np.stack(list(found.values()), 1)
    there = ~np.isnan(values)
    first = int(np.argmax(there, 0).max())
    last = np.maximum.accumulate(np.where(there, np.arange(len(values))[:, None], 0))
    values = np.take_along_axis(values, last, 0)[first:]
    notes = []
    if first:
        notes.append(f"{first:,} rows before the first value of every column left out")
    if missing := int((~there[first:]).sum()):
        notes.append(f"{missing:,} missing values taken to be the last one before")
    return dict(zip(found, values.T, strict=True)), notes


def _useless(train: Series) -> str:
    """Why nothing can be learned from a column's training part [n]; empty where something can."""
    if len(train) < 2:
        return ""  # too short altogether, which is said elsewhere
    std, largest = float(train.std()), float(np.abs(train).max())
    if train.min() == train.max():
        return "does not change in the training part"
    if largest * RESOLUTION > COARSE * std or std * LARGEST < 1:
        return f"varies by {std:.3g} around {float(train.mean()):.3g}, less than float32 tells apart"
    return ""


def _split(values: Series, config: DataConfig) -> tuple[Series, Series, Series]:
    """Train, test and validation, in the order of time."""
    points: Any = values
    train, test, val = (cast(Series, part) for part in split(points, config))
    return train, test, val


def _share(values: Series, config: DataConfig) -> Series:
    """The first of the rows that `--fraction` leaves."""
    return values[: max(1, round(len(values) * config.fraction))]
