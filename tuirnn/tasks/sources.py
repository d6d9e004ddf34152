"""Where the text comes from: files, folders, standard input, named data sets, or the embedded text."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.files import read_bounded
from tuirnn.tasks import datasets
from tuirnn.tasks.builtin import DEFAULT

MAX_SOURCE_BYTES = 4 * 2**30

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """Raw training data: a short name to show, the bytes, and their hash."""

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Hash of the bytes; two runs with the same one saw the same data."""
        return hashlib.sha256(self.data).hexdigest()

    def text(self) -> str:
        """The bytes as UTF-8 text.

        Raises:
            DataError: binary or otherwise encoded; the message offers byte mode.
        """
        if b"\0" in self.data:
            where = self.data.index(b"\0")
            raise DataError(
                f"{self.name} is binary (a zero byte at offset {where:,}); learn its bytes with --tokens byte"
            )
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.name} is not UTF-8 (at byte offset {error.start:,}); convert it, or learn its "
                "bytes with --tokens byte"
            ) from None


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
    contents: list[bytes] = []
    labels: list[str] = []
    for name in names or (DEFAULT,):
        for label, data in _data_set(name) if named else parts(name, stdin):
            if not data.strip():
                raise DataError(
                    f"{label} is empty or nothing but white space; give a text of at least a few thousand characters"
                )
            contents.append(data)
            labels.append(label)
    if sum(map(len, contents)) > MAX_SOURCE_BYTES:
        raise DataError(f"the sources hold more than {MAX_SOURCE_BYTES:,} bytes; use --fraction on a smaller file")
    name = labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} more"
    return Source(name, b"\n".join(contents))


def parts(name: str, stdin: Path | None = None) -> list[tuple[str, bytes]]:
    """The files of one source, each with a label; see `load`."""
    if name == STDIN:
        data = read_bounded(stdin, MAX_SOURCE_BYTES, DataError) if stdin else sys.stdin.buffer.read()
        return [("standard input", data)]
    if not name:
        raise DataError("an empty name names no text; give a file, a folder, '-' or a data set")
    path = Path(name)
    try:
        if path.is_dir():
            return _read_folder(path)
        if path.is_file():
            return [(one_line(path.name), _read_file(path))]
        if path.exists():
            raise DataError(f"{one_line(path)} is neither a file nor a folder; a pipe is read with '-'")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {one_line(name)}: {getattr(error, 'strerror', None) or error}") from None
    if name in datasets.dataset_names():
        return _data_set(name)
    raise DataError(
        f"no file, folder or data set '{one_line(name, 100)}'; "
        f"{nearest(name, datasets.dataset_names()).replace('known:', 'data sets:')}"
    )


def _data_set(name: str) -> list[tuple[str, bytes]]:
    return [("the embedded text" if label == DEFAULT else label, data) for label, data in datasets.fetch(name)]


def _read_file(path: Path) -> bytes:
    if path.stat().st_size > MAX_SOURCE_BYTES:
        raise DataError(f"{one_line(path)} holds more than {MAX_SOURCE_BYTES:,} bytes; train on a part of it")
    return path.read_bytes()


def _read_folder(path: Path) -> list[tuple[str, bytes]]:
    files = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
    found = [(one_line(file.relative_to(path)), _read_file(file)) for file in files]
    found = [(label, data) for label, data in found if data.strip()]
    if not found:
        raise DataError(f"folder {one_line(path)} holds no file with content")
    return found


def _hidden(file: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(top).parts)
