"""The bytes of a cell file before anything parses them: only fields that a cell has, and few enough of them.

A parser makes an object of each part of a message; 28 MB may hold four million of them. This walk makes none. It also
settles what readers of protobuf may disagree about: each single field comes once, numbers are not packed, and nothing
is there that one reader knows and another does not.
"""

from dataclasses import dataclass
from functools import cache
from typing import BinaryIO, Protocol

import onnx
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from tuirnn.errors import CellFileError

MAX_PARTS = 300_000
"""Fields of the whole file; the largest cell, 20,000 nodes, has some 200,000."""

MAX_TEXT = 256
"""Bytes of a name."""

MAX_VALUE = 64 * 2**20
"""Bytes of a metadata value: a vocabulary of two million words."""

KNOWN = {
    "ModelProto": "ir_version producer_name producer_version graph opset_import metadata_props",
    "OperatorSetIdProto": "domain version",
    "StringStringEntryProto": "key value",
    "GraphProto": "node name initializer input output",
    "NodeProto": "input output name op_type attribute domain",
    "AttributeProto": "name f i type",
    "TensorProto": "dims data_type name raw_data",
    "ValueInfoProto": "name type",
    "TypeProto": "tensor_type",
    "Tensor": "elem_type shape",
    "TensorShapeProto": "dim",
    "Dimension": "dim_value dim_param",
}
"""Message -> the fields that a cell's file may hold."""

MOST = {"ModelProto": 300, "GraphProto": 50_000, "NodeProto": 600, "TensorProto": 12, "TensorShapeProto": 8}
"""Fields of one message of a kind, where repeated ones may be many; 8 dimensions, 256 inputs or outputs."""

PAGE = 4096

VARINT, LENGTH, FIXED32 = 0, 2, 5


class Bytes(Protocol):
    """What the walk needs of a file's content."""

    def __getitem__(self, at: int, /) -> int: ...


class Pages:
    """A file's content without reading more of it than is looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start, self._page = 0, b""

    def __getitem__(self, at: int, /) -> int:
        if not self._start <= at < self._start + len(self._page):
            self._start = at
            self._file.seek(at)
            self._page = self._file.read(PAGE)
            if not self._page:
                raise DecodeError("it ends in the middle")
        return self._page[at - self._start]


@dataclass(frozen=True)
class _Field:
    name: str
    wire: int
    repeated: bool
    most: int
    """Bytes, where it has a length and is no message."""
    message: "_Message | None"


@dataclass(frozen=True)
class _Message:
    name: str
    most: int
    fields: dict[int, _Field]


def check_parts(data: Bytes, size: int) -> None:
    """Walk the wire format of a model of `size` bytes.

    Raises:
        CellFileError: a field that no cell has, or far too many.
        DecodeError: not protobuf.
    """
    _walk(data, 0, size, _message("ModelProto"), MAX_PARTS)


def _walk(data: Bytes, at: int, end: int, message: _Message, budget: int) -> int:
    """Check one message; returns what is left of the budget of fields."""
    fields, single, left = message.fields, 0, min(message.most, budget)
    while at < end:
        if left <= 0:
            raise CellFileError(f"its {message.name} has far more parts than a cell's")
        left, budget = left - 1, budget - 1
        key, at = varint(data, at, end)
        field = fields.get(key >> 3)
        if field is None or field.wire != key & 7:
            raise CellFileError(
                f"its {message.name} holds {_called(message.name, key >> 3)}, which no cell has; make one with "
                "'tuirnn export RUN'"
            )
        if not field.repeated:
            if single >> (key >> 3) & 1:
                raise CellFileError(f"its {message.name} has two fields '{field.name}'")
            single |= 1 << (key >> 3)
        if field.wire == VARINT:
            _, at = varint(data, at, end)
        elif field.wire == FIXED32:
            at += 4
        else:
            length, at = varint(data, at, end)
            if length > end - at:
                raise DecodeError("it ends in the middle")
            if field.message is not None:
                budget = _walk(data, at, at + length, field.message, budget)
            elif length > field.most:
                raise CellFileError(f"its {message.name} has a '{field.name}' of {length:,} bytes")
            at += length
    if at > end:
        raise DecodeError("it ends in the middle")
    return budget


def varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at` and where it ends; readers may disagree about numbers longer than they need be."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            if value >= 1 << 64 or (not byte and shift > 7):
                raise DecodeError("it has a number in a form that readers may disagree about")
            return value, at
    raise DecodeError("it ends in the middle")


def _called(message: str, number: int) -> str:
    known = getattr(onnx, message, None)
    field = known.DESCRIPTOR.fields_by_number.get(number) if known else None
    return f"the field '{field.name}'" if field else f"an unknown field (number {number})"


@cache
def _message(name: str) -> _Message:
    return _read(getattr(onnx, name).DESCRIPTOR)


def _read(descriptor: Descriptor) -> _Message:
    """The fields of one kind of message, and of those inside it, from ONNX's own description."""
    found = {}
    for name in KNOWN[descriptor.name].split():
        field: FieldDescriptor = descriptor.fields_by_name[name]
        kind = {FieldDescriptor.CPPTYPE_FLOAT: FIXED32, FieldDescriptor.CPPTYPE_STRING: LENGTH}.get(field.cpp_type)
        child = _read(field.message_type) if field.message_type is not None else None
        wire = LENGTH if child else VARINT if kind is None else kind
        most = {"raw_data": 2**40, "value": MAX_VALUE}.get(name, MAX_TEXT)
        repeated = field.has_presence is False
        found[field.number] = _Field(name, wire, repeated, most, child)
    return _Message(descriptor.name, MOST.get(descriptor.name, 16), found)
