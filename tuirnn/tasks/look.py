"""What training would understand of files, without training; of large ones their beginning."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn import tasks
from tuirnn.errors import DataError, one_line
from tuirnn.settings.data import DataConfig
from tuirnn.tables import cells
from tuirnn.tables import table as tables
from tuirnn.tasks import overlap, sources
from tuirnn.tasks.rows import samples
from tuirnn.tasks.texts import TABLES
from tuirnn.tasks.turned import turned

MOST = 2 * 2**20
"""Bytes of a file that are looked at."""

IN_FOLDER, LEAST_OF_FILE, MOST_OF_FILE = 2**25, 2**10, 2**16
"""Bytes of a folder that are looked at, and the least and most of each of its files."""

FIRST_BYTES, FIRST_LINES, LEAST_LINES, MOST_TYPED = 2**14, 50, 8, 0.8
"""Of a file that is not named as a table: what is looked at, the least lines, and the share of a column that is numbers
or dates; where blanks are all that separates, of every column."""


@dataclass(frozen=True)
class Seen:
    """What was understood of one source.

    Attributes:
        name: of the source.
        task: that it was looked at for.
        bytes, sample: its size, and how much of that was looked at.
        notes: what training would say, a line each.
        read: what training would keep in a run's record.
    """

    name: str
    task: str
    bytes: int
    sample: int
    notes: tuple[str, ...]
    read: dict[str, Any]

    @property
    def head(self) -> str:
        """Name, task and size in a line."""
        part = f", judged by {self.sample:,} of them" if self.sample < self.bytes else ""
        return f"{self.name} for --task {self.task}: {self.bytes:,} bytes{part}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "notes": list(self.notes)}


def look_at(name: str, settings: Mapping[str, Any]) -> Seen:
    """Look at one file, folder or data set.

    Args:
        name: of the source.
        settings: of the data, by name; without a task, the one that the source is fit for.
    Raises:
        DataError: training would refuse it; ConfigError: a setting that the task does not read.
    """
    path = Path(name)
    folder = path.is_dir()
    files = sources.parts(name, empty=folder, most=_of_each(path) if folder else MOST)
    config = DataConfig(**{**settings, "sources": (name,), "task": settings.get("task") or _fit(folder, files)})
    task = tasks.find_task(config.task)
    tasks.check_given(task, settings)
    sample = sum(len(data) for _, data in files)
    size = _size(path) or sample
    notes, read = task.understand(config, files)
    copies = overlap.foreseen(config, files, size)
    return Seen(one_line(path.name or name), task.name, size, sample, (*notes, *copies), read)


def _of_each(folder: Path) -> int:
    """Bytes of each file of a folder that are looked at."""
    many = sum(1 for file in folder.rglob("*") if file.is_file())
    return min(MOST_OF_FILE, max(LEAST_OF_FILE, IN_FOLDER // max(1, many)))


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder; 0 where there is no such path."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return path.stat().st_size if path.is_file() else 0


def _fit(folder: bool, files: list[tuple[str, bytes]]) -> str:
    """The task that a source is fit for: folders and tables with words hold classes, other tables series."""
    if folder and len(files) > 1:
        return "classify"
    (label, data), *_ = files
    named = Path(label).suffix.lower() in TABLES
    if not (named or looks_like_table(data)):
        return tasks.DEFAULT
    try:
        table = tables.read(data, label)
    except DataError:
        return "classify" if named else tasks.DEFAULT
    if turned(table):
        return "forecast"
    columns = [table.spread(place, 200) for place in range(len(table.names))]
    kinds = [[cells.kind(cell) for cell in column if cell.strip()] for column in columns]
    words = [
        column
        for column, kind in zip(columns, kinds, strict=True)
        if kind.count(cells.TEXT) > 0.5 * len(kind) and sum(map(cells.is_measure, column)) < 0.5 * len(column)
    ]
    measured = sum(sum(map(cells.is_measure, column)) > 0.5 * len(column) for column in columns)
    numbers = measured + sum(kind.count(cells.NUMBER) > 0.5 * len(kind) for kind in kinds if kind)
    dates = any(kind.count(cells.DATE) > 0.9 * len(kind) for kind in kinds if kind)
    texts = [column for column in words if len(set(column)) >= 0.5 * len(column)]
    if dates and numbers and not texts:
        return "forecast"  # words that recur are names of groups
    if (texts and len(kinds) == 2) or not numbers:
        return "classify"  # whatever the labels are
    return "classify" if texts and numbers < len(kinds) - 1 else "forecast"


def looks_like_table(data: bytes) -> bool:
    """Whether the first lines of a file that is not named as a table have equally many fields, some of them numbers."""
    lines = [line for line in data[:FIRST_BYTES].decode("utf-8", "replace").splitlines()[:-1] if line.strip()]
    lines = lines[:FIRST_LINES]
    for delimiter in (",", ";", "\t", "|", None):
        rows = [[field.strip(' "') for field in line.split(delimiter)] for line in lines]
        width = len(rows[0]) if rows else 0
        if len(rows) < LEAST_LINES or width < 2 or any(len(row) != width for row in rows):
            continue
        typed = [
            sum(cells.kind(row[place]) in (cells.NUMBER, cells.DATE) for row in rows[1:]) for place in range(width)
        ]
        if (min if delimiter is None else max)(typed) >= MOST_TYPED * (len(rows) - 1):
            return True
    return False


def suited(names: Sequence[str], task: str) -> str:
    """A note where a table is learned from as if it were plain text; empty otherwise.

    Args:
        names: of the sources.
        task: that learns from them.
    """
    if task != tasks.DEFAULT or len(names) != 1 or not Path(names[0]).is_file():
        return ""
    named = Path(names[0]).suffix.lower() in TABLES
    files = sources.parts(names[0], most=MOST)
    if not (named or looks_like_table(files[0][1])):
        return ""
    what = "is" if named else "looks like"
    said = f"{one_line(Path(names[0]).name)} {what} a table, but is learned from as plain text, commas and all"
    with contextlib.suppress(DataError):
        table = tables.read(files[0][1], files[0][0])
        if why := turned(table) or samples(table):
            return f"{said}; {why}"
    return (
        f"{said}; to learn from its columns give --task {_fit(False, files)}; 'tuirnn data look' shows how it would "
        "be read"
    )
