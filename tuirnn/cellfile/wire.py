"""Checks the bytes of a cell file before they are parsed: only the fields of a cell, and not too many of them.

A parser creates an object for each part of a message; 28 MB may contain four million. This check creates none. It also
excludes everything that readers of protobuf may interpret differently: singular fields occur once, numbers are not
packed, and there are no fields that some readers do not know.
"""

from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

import onnx
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tuirnn.cellfile.cell import FIXED32, LENGTH, VARINT, Bytes, varint
from tuirnn.errors import CellFileError

MAX_PARTS = 300_000
"""Most fields of a file; the largest cell, with 20,000 nodes, has about 200,000."""

MAX_TEXT = 256
"""Most bytes of a name."""

MAX_VALUE = 64 * 2**20
"""Most bytes of a metadata value: a vocabulary of two million words."""

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
"""Message -> the fields that a cell file may contain."""

MOST = {"ModelProto": 300, "GraphProto": 50_000, "NodeProto": 600, "TensorProto": 12, "TensorShapeProto": 8}
"""Most fields of a message with repeated fields; 8 dimensions, 256 inputs or outputs."""

PAGE = 4096


class Pages:
    """The bytes of a file, read page by page."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start, self._page = 0, b""

    def __getitem__(self, at: int, /) -> int:
        if not self._start <= at < self._start + len(self._page):
            self._start = at
            self._file.seek(at)
            self._page = self._file.read(PAGE)
            if not self._page:
                raise ValueError("it is truncated")
        return self._page[at - self._start]


@dataclass(frozen=True)
class _Field:
    name: str
    wire: int
    repeated: bool
    most: int
    """Most bytes of a field that is not a message."""
    message: "_Message | None"


@dataclass(frozen=True)
class _Message:
    name: str
    most: int
    fields: dict[int, _Field]


def check_parts(data: Bytes, size: int) -> None:
    """Check the wire format of a model, a file of `size` bytes.

    Raises:
        CellFileError: a field that no cell has, or too many fields.
        ValueError: the bytes are not protobuf.
    """
    _walk(data, 0, size, _message("ModelProto"), MAX_PARTS)


def _walk(data: Bytes, at: int, end: int, message: _Message, budget: int) -> int:
    """Check one message; returns the remaining budget of fields."""
    fields, single, left = message.fields, 0, min(message.most, budget)
    while at < end:
        if left <= 0:
            raise CellFileError(f"its {message.name} has too many fields")
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
                raise ValueError("it is truncated")
            if field.message is not None:
                budget = _walk(data, at, at + length, field.message, budget)
            elif length > field.most:
                raise CellFileError(f"its {message.name} has a '{field.name}' of {length:,} bytes")
            at += length
    if at > end:
        raise ValueError("it is truncated")
    return budget


def _called(message: str, number: int) -> str:
    known = getattr(onnx, message, None)
    field = known.DESCRIPTOR.fields_by_number.get(number) if known else None
    return f"the field '{field.name}'" if field else f"an unknown field (number {number})"


@cache
def _message(name: str) -> _Message:
    return _read(getattr(onnx, name).DESCRIPTOR)


def _read(descriptor: Descriptor) -> _Message:
    """Read the fields of a message and of the messages in it from ONNX's descriptors."""
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
