"""What an opened cell file is. Without ONNX: a file that is known already is opened and run without loading it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tuirnn.cellfile.contract import CellMetadata

MAX_BYTES = 1 << 30
"""Of a cell file."""

METADATA = 14
"""Number of the field of an ONNX model that holds a key and a value of its metadata: fields 1 and 2 of a message."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""How the wire format of protobuf writes a field."""


class Bytes(Protocol):
    """Bytes by index."""

    def __getitem__(self, at: int, /) -> int: ...


@dataclass(frozen=True)
class InspectedCell:
    """A file that passed inspection: its bytes, and what it says of itself."""

    data: bytes
    metadata: CellMetadata


@dataclass(frozen=True)
class TrustedCell(InspectedCell):
    """A file that may be run here: made by this installation, or tried before; see `runtime.admission`.

    Attributes:
        threads: with so many a session of one sequence is fastest on this machine's CPU; it has reproduced the test
            vector. None: not known.
    """

    threads: int | None = None


def reopened(data: bytes) -> TrustedCell:
    """The cell in the bytes of a file that has passed inspection and its trial before; no other may come here.

    Raises:
        CellFileError: metadata of another version.
    """
    return TrustedCell(data, CellMetadata.from_strings(properties(data)))


def properties(data: bytes) -> dict[str, str]:
    """The metadata of an ONNX model, found by stepping over everything else: weights are neither parsed nor copied."""
    found = {}
    for number, value in _fields(memoryview(data)):
        if number == METADATA:
            pair = dict(_fields(value))
            found[str(pair[1], "utf-8")] = str(pair[2], "utf-8")
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field of a message that has a length."""
    at = 0
    while at < len(data):
        key, at = varint(data, at, len(data))
        wire, start = key & 7, at
        if wire == VARINT:
            _, at = varint(data, at, len(data))
        elif wire == LENGTH:
            length, start = varint(data, at, len(data))
            at = start + length
            yield key >> 3, data[start:at]
        else:
            at += {FIXED32: 4, FIXED64: 8}[wire]


def varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read the number at `at`; returns it and the index after it.

    Raises:
        ValueError: it is truncated, or longer than necessary: readers may interpret such a number differently.
    """
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            if value >= 1 << 64 or (not byte and shift > 7):
                raise ValueError("it encodes a number with more bytes than necessary")
            return value, at
    raise ValueError("it is truncated")
