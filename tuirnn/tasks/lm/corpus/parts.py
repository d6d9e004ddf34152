"""The files of a text, read piece by piece: hashed as they lie, decoded to UTF-8 on the way."""

import codecs
import hashlib
import mmap
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuirnn.errors import DataError, one_line
from tuirnn.tables.encodings import MARKS, MOST_REPLACED, Encoding, find
from tuirnn.tasks import sources
from tuirnn.tasks.builtin import DEFAULT

PIECE = 2**19
"""Bytes that are read at a time."""

WHOLE = 64 * 2**20
"""Bytes that the encoding of a file other than UTF-8 is judged by."""

MOST_BYTES = 64 * 2**30

SPOOLED_FROM = 4 * 2**20
"""Bytes of standard input from which it is kept in a file."""

WITHOUT_MARK = {"utf-16": f"utf-16-{sys.byteorder[0]}e", "utf-32": f"utf-32-{sys.byteorder[0]}e"}
"""Encodings whose incremental decoders demand a byte order mark, and what they are without one."""

BEGINNINGS = tuple(mark for mark, _ in MARKS)

Hash = Any
"""Of hashlib, which names no type."""

T = TypeVar("T")


class NotPlainError(Exception):
    """A file is not UTF-8 without a mark.

    Attributes:
        part: the file.
    """

    def __init__(self, part: "Part") -> None:
        super().__init__(part.label)
        self.part = part


@dataclass
class Part:
    """A file of a text, or bytes that lie in no file.

    Attributes:
        label: for people.
        body: where it is, or what it is.
        encoding: None: plain UTF-8, which reading it proves.
        lost: bytes that have no character in a given encoding.
    """

    label: str
    body: Path | bytes | memoryview
    encoding: Encoding | None = None
    lost: int = 0

    @property
    def size(self) -> int:
        """In bytes."""
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)

    def identity(self) -> list[Any]:
        """What another content of the file would change: of a file its place and times, else a hash."""
        if not isinstance(self.body, Path):
            return [self.label, hashlib.sha256(self.body).hexdigest()]
        stat = self.body.stat()
        return [
            self.label, str(self.body.absolute()), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns,
            stat.st_ctime_ns,
        ]  # fmt: skip

    def changed(self) -> float:
        """When the file was last written or replaced, in seconds since 1970; 0 for bytes."""
        if not isinstance(self.body, Path):
            return 0.0
        stat = self.body.stat()
        return max(stat.st_mtime, stat.st_ctime)

    def raw(self, start: int = 0) -> Iterator[bytes]:
        """Its bytes from `start`, in pieces."""
        if isinstance(self.body, Path):
            with self.body.open("rb", buffering=0) as file:
                file.seek(start)
                while piece := file.read(PIECE):
                    yield piece
        else:
            body = memoryview(self.body)
            for first in range(start, len(body), PIECE):
                yield bytes(body[first : first + PIECE])

    def utf8(self, sha: Hash) -> Iterator[bytes]:
        """Its text in UTF-8, in pieces that may end inside a character; `sha` sees the bytes as they lie.

        Raises:
            NotPlainError: it is no plain UTF-8, and its encoding has not been settled yet.
            DataError: it is not in the encoding that was settled.
        """
        found = self.encoding
        if found is not None and (found.name != "utf-8" or found.how == "given"):
            yield from self._converted(sha, found)
            return
        skip = found.mark if found else 0
        for number, piece in enumerate(self.raw()):
            sha.update(piece)
            if found is None and (b"\0" in piece or (not number and piece.startswith(BEGINNINGS))):
                raise NotPlainError(self)
            yield piece[skip:]
            skip = 0

    def _converted(self, sha: Hash, found: Encoding) -> Iterator[bytes]:
        given = found.how == "given"
        name = WITHOUT_MARK.get(found.name, found.name)
        try:
            decoder = codecs.getincrementaldecoder(name)("replace" if given else "strict")
        except LookupError:
            raise DataError(f"--encoding {name} cannot be used for long texts; convert {self.label} to UTF-8") from None
        lost = characters = zeros = read = 0
        for piece in self.raw():
            sha.update(piece)
            try:
                text = decoder.decode(piece if read else piece[found.mark :])
            except UnicodeError as error:
                raise _not_in(self, found, read + getattr(error, "start", 0)) from None
            read += len(piece)
            characters, zeros = characters + len(text), zeros + text.count("\0")
            lost += text.count("\N{REPLACEMENT CHARACTER}")
            yield text.encode("utf-8", "replace")
        try:
            text = decoder.decode(b"", True)
        except UnicodeError:
            raise _not_in(self, found, read) from None
        lost, characters = lost + len(text), characters + len(text)
        if given and (lost > max(1, MOST_REPLACED * characters) or zeros):
            raise DataError(f"{self.label} is not in the encoding {found.name} that --encoding gives; name another one")
        self.lost = lost if given else 0
        yield text.encode("utf-8", "replace")

    def settle(self, given: str = "") -> None:
        """Find out its encoding, or take the given one; raises DataError where it cannot be told."""
        if given:
            self.encoding = find(self._window(0, PIECE), self.label, given)
            return
        if self.size <= WHOLE:
            self.encoding = find(b"".join(self.raw()), self.label)
            return
        head = next(self.raw())
        wrong = 0 if head.startswith(BEGINNINGS) or b"\0" in head else self._first_wrong()
        found = find(self._window(max(0, wrong - PIECE), WHOLE), self.label)
        if found.name == "utf-8" and not found.mark:
            raise DataError(
                f"{self.label} is not UTF-8 at byte offset {wrong:,}; correct it, or read each such place as � with "
                "--encoding utf-8"
            )
        self.encoding = found

    def is_plain(self) -> bool:
        """Whether it is UTF-8 without a mark, as far as its bytes tell."""
        head = next(self.raw(), b"")
        return not head.startswith(BEGINNINGS) and self._first_wrong() < 0

    def is_blank(self) -> bool:
        """Whether there is nothing but white space."""
        return not any(piece.strip() for piece in self.raw())

    def _window(self, start: int, size: int) -> bytes:
        """So many bytes at a place, whole lines where there are any; an even number."""
        pieces, length = [], 0
        for piece in self.raw(start):
            pieces.append(piece)
            length += len(piece)
            if length >= size:
                break
        data = b"".join(pieces)[:size]
        begin = data.find(b"\n") + 1 if start else 0
        end = data.rfind(b"\n") + 1 if start + size < self.size and b"\0" not in data[:PIECE] else len(data) & ~3
        return data[begin : max(begin, end)] or data

    def _first_wrong(self) -> int:
        """The place of the first byte that is not in a text in UTF-8; -1: none."""
        decoder, read = codecs.getincrementaldecoder("utf-8")(), 0
        try:
            for piece in self.raw():
                if (zero := piece.find(b"\0")) >= 0:
                    return read + zero
                decoder.decode(piece)
                read += len(piece)
            decoder.decode(b"", True)
        except UnicodeDecodeError as error:
            return max(0, read + error.start)
        return -1


def _not_in(part: Part, found: Encoding, place: int) -> DataError:
    return DataError(
        f"{part.label} is not in {found.name} at about byte offset {place:,}; name another encoding with --encoding"
    )


def joined(parts: Sequence[Part], sha: Hash) -> Iterator[bytes]:
    """The text of all parts in UTF-8, a newline between two; see `Part.utf8`."""
    for number, part in enumerate(parts):
        if number:
            sha.update(b"\n")
            yield b"\n"
        yield from part.utf8(sha)


def joined_raw(parts: Sequence[Part], sha: Hash) -> Iterator[bytes]:
    """The bytes of all parts as they lie, a newline between two."""
    for number, part in enumerate(parts):
        if number:
            sha.update(b"\n")
            yield b"\n"
        for piece in part.raw():
            sha.update(piece)
            yield piece


def with_encodings_settled(parts: Sequence[Part], work: Callable[[], T]) -> T:
    """What `work` returns, begun anew after each file that turns out to be in another encoding than it was read in."""
    while True:
        try:
            return work()
        except NotPlainError as error:
            error.part.settle()
        except UnicodeDecodeError:
            wrong = next((part for part in parts if part.encoding is None and not part.is_plain()), None)
            if wrong is None:
                raise DataError(
                    "the text has changed while it was being read; try again when nothing writes to it"
                ) from None
            wrong.settle()


def locate(names: Sequence[str], stdin: Path | None = None, *, named: bool = False) -> list[Part]:
    """The files of the sources, in the order given; see `sources.load`.

    Raises:
        DataError: a source that is missing, empty or unreadable.
    """
    parts: list[Part] = []
    for name in names or (DEFAULT,):
        if name == sources.STDIN and not named:
            body = stdin if stdin else _spooled()
            found = [Part("standard input", body)]
        else:
            found = [Part(label, body) for label, body in (sources.data_set if named else sources.located)(name)]
        try:
            blank = [part.is_blank() for part in found]
        except OSError as error:
            raise DataError(f"cannot read {one_line(name)}: {error.strerror}") from None
        if all(blank) and len(found) > 1:
            raise DataError(f"folder {one_line(name)} holds no file with content")
        if all(blank):
            raise DataError(
                f"{found[0].label} is empty or nothing but white space; give a text of at least a few thousand "
                "characters"
            )
        parts += [part for part, empty in zip(found, blank, strict=True) if not empty]
    if sum(part.size for part in parts) > MOST_BYTES:
        raise DataError(f"the sources hold more than {MOST_BYTES >> 30} GB; train on a part of them")
    return parts


def _spooled() -> memoryview:
    """Standard input, in a file without a name that goes with this process; small ones in memory."""
    stream = sys.stdin.buffer
    head = stream.read(SPOOLED_FROM)
    if len(head) < SPOOLED_FROM:
        return memoryview(head)
    with tempfile.TemporaryFile() as file:
        file.write(head)
        while piece := stream.read(PIECE):
            file.write(piece)
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
