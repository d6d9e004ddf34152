"""Where the text comes from: files, folders, standard input, named data sets, or the embedded text."""

import contextlib
import hashlib
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.escaping import split_names
from tuirnn.files import read_bounded
from tuirnn.settings.data import DataConfig
from tuirnn.tables.encodings import decode
from tuirnn.tables.given import Given
from tuirnn.tasks import datasets
from tuirnn.tasks.builtin import DEFAULT

MAX_SOURCE_BYTES = 4 * 2**30

STDIN = "-"

MOST_FILES, MOST_BESIDE = 20, 1_000
"""Files whose encodings a run's record lists, and entries of a folder among which a mistyped name is looked for."""


@dataclass(frozen=True)
class Text:
    """What stands in files.

    Attributes:
        text: of all, a newline between two.
        read: each file's name and encoding, for a run's record.
        notes: encodings other than plain UTF-8, and bytes that have no character.
    """

    text: str
    read: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Raw training data: a short name to show, the bytes, and their hash.

    Attributes:
        name: for people.
        data: of all files, a newline between two.
        files: each with its name; none: `data` is one file.
    """

    name: str
    data: bytes
    files: tuple[tuple[str, bytes], ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the bytes; two runs with the same one saw the same data."""
        return hashlib.sha256(self.data).hexdigest()

    def read(self, encoding: str = "") -> Text:
        """Decode each file by itself.

        Args:
            encoding: of all files; empty: found out file by file.
        Raises:
            DataError: binary data, or an encoding that cannot be told; the message names the file.
        """
        texts, read, notes = [], [], []
        for label, data in self.files or ((self.name, self.data),):
            text, found, said = decode(data, label, encoding)
            texts.append(text)
            read.append({"name": label, "encoding": found.name})
            notes += [f"{label}: {found.told}"] * bool(found.told) + said
        return Text("\n".join(texts), {"files": read[:MOST_FILES], "count": len(read)}, tuple(notes))

    def text(self, encoding: str = "") -> str:
        """The text of all files; see `read`."""
        return self.read(encoding).text


def read_once(source: Source, config: DataConfig) -> bytes:
    """What a run must keep a copy of: standard input, which can be read once; nothing of files."""
    return source.data if STDIN in config.sources else b""


def remembered(known: Mapping[str, Any] | None, source: Source) -> dict[str, Any] | None:
    """How a run has read these data before.

    Args:
        known: its record of its data; None: a new run.
        source: the data.
    Returns:
        None for a new run or other data; nothing for a run that was made before this was kept.
    """
    if known is None or known.get("sha256") != source.sha256:
        return None
    read = known.get("read")
    return read if isinstance(read, dict) else {}


def given(config: DataConfig, names: tuple[str, ...] = ()) -> Given:
    """What the settings say about a table.

    Args:
        config: the settings.
        names: columns that it is expected to have.
    """
    return Given(
        delimiter=config.delimiter,
        decimal="" if config.decimal == "auto" else config.decimal,
        encoding=config.encoding,
        header=config.header,
        missing=split_names(config.missing),
        names=names,
    )


def load(names: Sequence[str], *, stdin: Path | None = None, named: bool = False) -> Source:
    """Read all sources, joined by a newline, in the order given.

    Args:
        names: paths of files or folders, '-', data set names; none means the embedded text. An
            existing path wins over a data set's name.
        stdin: file to read in place of standard input for '-', where a run has kept a copy.
        named: only data set names; a stranger's file may name one, and never a path.
    Raises:
        DataError: a source that is missing, empty or unreadable.
    """
    files: list[tuple[str, bytes]] = []
    for name in names or (DEFAULT,):
        for label, data in data_set(name) if named else parts(name, stdin):
            if not data.strip():
                raise DataError(
                    f"{label} is empty or nothing but white space; give a text of at least a few thousand characters"
                )
            files.append((label, data))
    if sum(len(data) for _, data in files) > MAX_SOURCE_BYTES:
        raise DataError(f"the sources hold more than {MAX_SOURCE_BYTES:,} bytes; use --fraction on a smaller file")
    name = files[0][0] if len(files) == 1 else f"{files[0][0]} and {len(files) - 1} more"
    return Source(name, b"\n".join(data for _, data in files), tuple(files))


def parts(
    name: str, stdin: Path | None = None, *, empty: bool = False, most: int = MAX_SOURCE_BYTES
) -> list[tuple[str, bytes]]:
    """The files of one source, each with a label.

    Args:
        name: of a file, a folder or a data set, or '-'; see `load`.
        stdin: see `load`.
        empty: give the files of a folder that have no content as well.
        most: bytes that are read of each file; one with more ends with its last whole line.
    Raises:
        DataError: see `load`.
    """
    if name == STDIN:
        data = read_bounded(stdin, MAX_SOURCE_BYTES, DataError) if stdin else sys.stdin.buffer.read()
        return [("standard input", data)]
    try:
        found = [(label, _read_file(body, most) if isinstance(body, Path) else body) for label, body in located(name)]
    except OSError as error:
        raise _unreadable(name, error) from None
    if not Path(name).is_dir():
        return found
    filled = [(label, data) for label, data in found if data.strip()]
    if not filled:
        raise DataError(f"folder {one_line(name)} holds no file with content")
    return found if empty else filled


def located(name: str) -> list[tuple[str, Path | bytes]]:
    """The files of a file, a folder or a data set, each with a label; what is on the disk is not read yet.

    Raises:
        DataError: see `load`.
    """
    if not name:
        raise DataError("an empty name names no text; give a file, a folder, '-' or a data set")
    path = Path(name)
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
            if not files:
                raise DataError(f"folder {one_line(path)} holds no file with content")
            return [(one_line(file.relative_to(path)), file) for file in files]
        if path.is_file():
            return [(one_line(path.name), path)]
        if path.is_fifo() or path.is_char_device():  # as a shell's <(…) is; it can be read once
            with path.open("rb") as file:
                return [("a pipe", _no_more_than(file.read(MAX_SOURCE_BYTES + 1), one_line(path)))]
        if path.exists():
            raise DataError(f"{one_line(path)} is neither a file, a folder nor a pipe")
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    if name in datasets.dataset_names():
        return [*data_set(name)]
    raise DataError(f"no file, folder or data set '{one_line(name, 100)}'; {_near(path)}")


def _near(path: Path) -> str:
    """What a path that is none may have meant: a file beside it, or a data set; a name with a dot is no data set's."""
    beside: list[str] = []
    with contextlib.suppress(OSError, ValueError), os.scandir(path.parent) as entries:
        beside = [one_line(entry.name, 100) for entry in itertools.islice(entries, MOST_BESIDE) if entry.name[0] != "."]
    known = datasets.dataset_names()
    listed = f"data sets: {', '.join(sorted(known))}"
    return nearest(path.name, beside if path.suffix else [*beside, *known], otherwise=listed)


def _no_more_than(data: bytes, name: str) -> bytes:
    if len(data) > MAX_SOURCE_BYTES:
        raise DataError(f"{name} holds more than {MAX_SOURCE_BYTES:,} bytes; train on a part of it")
    return data


def _unreadable(name: str, error: Exception) -> DataError:
    return DataError(f"cannot read {one_line(name)}: {getattr(error, 'strerror', None) or error}")


def data_set(name: str) -> list[tuple[str, bytes]]:
    """The files of a data set, each with a label; raises DataError where there is none of this name, or no copy."""
    return [("the embedded text" if label == DEFAULT else label, data) for label, data in datasets.fetch(name)]


def _read_file(path: Path, most: int) -> bytes:
    if path.stat().st_size <= most:
        return path.read_bytes()
    if most == MAX_SOURCE_BYTES:
        raise DataError(f"{one_line(path)} holds more than {MAX_SOURCE_BYTES:,} bytes; train on a part of it")
    with path.open("rb") as file:
        data = file.read(most)
    end = data.rfind(b"\n") + 1
    if b"\0" in data[:4096]:
        return data[: most & ~3]  # UTF-16 or UTF-32
    return data[:end] if end else data.decode("utf-8", "ignore").encode()


def _hidden(file: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(top).parts)
