"""From the graph of a cell file to a program for one sequence.

The graph is read node by node, so whatever a task, cell or precision adds to it is computed. Views (Split, Squeeze)
cost nothing; neighbouring elementwise nodes of the same size become one loop; places in the scratch arrays are
used again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tuirnn.codegen.wasm_functions import WRITE
from tuirnn.export.graph import build
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.export.program import (
    CODES,
    WORK,
    Constant,
    Copy,
    Loop,
    Operand,
    Operation,
    Place,
    Product,
    Program,
    Quantize,
)

ALIGNED = 16
"""Elements that a place in the scratch arrays is a multiple of: 64 bytes of float32."""

ELEMENTWISE = WRITE.keys()
"""Operators that compute each element from the same elements of their operands; truth values are 1 and 0."""


def program_of(network: Network, precision: str = "fp32") -> Program:
    """The program of a network's single step, in fp32 or int8."""
    return lower(build(network.config, network.weights, network.metadata, CellOptions(precision=precision)))


def lower(model: onnx.ModelProto) -> Program:
    """Read the graph of a cell file that computes a single step.

    Args:
        model: without sampler, not unrolled; its first input is a token or a point, the others are the state, and its
            first output is the answer.
    """
    reader = _Reader(model)
    for node in model.graph.node:
        reader.read(node)
    reader.keep([output.name for output in model.graph.output])
    fed, *states = model.graph.input
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in model.graph.input}
    return _placed(
        reader,
        (fed.name, shapes[fed.name][-1] if fed.type.tensor_type.elem_type == onnx.TensorProto.FLOAT else 0),
        {state.name: (*shapes[state.name][:-2], shapes[state.name][-1]) for state in states},  # without the batch axis
        [output.name for output in model.graph.output],
    )


@dataclass
class _Reader:
    """Turns nodes into operations on places that are not yet in the scratch arrays: the base of each is its name."""

    model: onnx.ModelProto
    operations: list[Operation] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    used: dict[str, Constant] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        fixed = onnx.ModelProto()
        fixed.CopyFrom(self.model)
        for value in (*fixed.graph.input, *fixed.graph.output):
            for size in value.type.tensor_type.shape.dim:
                if not size.HasField("dim_value"):
                    size.dim_value = 1
        graph = onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True).graph
        self._shapes = {
            value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
            for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._loop: dict[str, tuple[str, tuple[Operand, ...]]] = {}
        self._token = graph.input[0].name
        self._inputs = {value.name for value in graph.input}
        for value in graph.input:
            self.places[value.name] = Place(value.name, 0, prod(self._shapes[value.name]))

    def read(self, node: onnx.NodeProto) -> None:
        """Add the operations of a node."""
        if node.op_type in ELEMENTWISE:
            self._elementwise(node)
        else:
            getattr(self, f"_{node.op_type.lower()}")(node)

    def finish_loop(self) -> None:
        """End the loop that is being gathered."""
        if self._loop:
            values = tuple((name, kind, operands) for name, (kind, operands) in self._loop.items())
            stores = tuple((self.places[name], name) for name in self._loop)
            self.operations.append(Loop(stores[0][0].size, values, stores))
            self._loop = {}

    def keep(self, outputs: Sequence[str]) -> None:
        """End the program; an output that is an input gets a place of its own, as the inputs are replaced."""
        self.finish_loop()
        for name in outputs:
            x = self.places[name]
            if x.base in self._inputs:
                self.places[name] = Place(f"{name}_copy", 0, x.size)
                self.places[f"{name}_copy"] = self.places[name]
                self.operations.append(Copy(self.places[name], x))

    def _elementwise(self, node: onnx.NodeProto) -> None:
        out = self._new(node.output[0])
        sizes = {self.places[name].size for name in self._loop} - {out.size}
        places = [self.places[name] for name in node.input if name in self.places]
        if sizes or any(self._is_piece(place) or place.size not in (1, out.size) for place in places):
            self.finish_loop()
        operands = tuple(self._operand(self._spread(name, node.output[0])) for name in node.input)
        assert all(each.size in (1, out.size) for each in operands if isinstance(each, Place)), node.name
        self._loop[node.output[0]] = (node.op_type, operands)

    def _spread(self, name: str, out: str) -> str:
        """An operand that is broadcast along leading axes, as often as the result has it; others as they are."""
        size, x = prod(self._shapes[out]), self.places.get(name)
        if x is None or x.size in (1, size):
            return name
        shape = self._shapes[name]
        trailing = next(
            self._shapes[out][i:] for i in range(len(self._shapes[out])) if prod(self._shapes[out][i:]) == x.size
        )
        assert tuple(side for side in shape if side > 1) == tuple(side for side in trailing if side > 1), name
        made = f"{name}_for_{out}"
        self.places[made] = Place(made, 0, size)
        for at in range(0, size, x.size):
            self.operations.append(Copy(Place(made, at, x.size), x))
        return made

    def _operand(self, name: str) -> Operand:
        """A number, a value of the loop at hand, or a place."""
        if name in self._constants:
            value = self._constants[name]
            return float(value.reshape(-1)[0]) if value.size == 1 else self._stored(name)
        place = self.places[name]
        return place.base if place.base in self._loop else place

    def _is_piece(self, place: Place) -> bool:
        """Whether a place is a part of a value of the loop at hand, which must end before it is read."""
        return place.base in self._loop and place != self.places[place.base]

    def _new(self, name: str) -> Place:
        self.places[name] = Place(name, 0, prod(self._shapes[name]))
        return self.places[name]

    def _stored(self, name: str) -> Place:
        """A constant that is read from memory."""
        self.used[name] = self._constants[name].reshape(-1)
        return Place(name, 0, self._constants[name].size)

    def _at(self, name: str) -> Place:
        return self._stored(name) if name in self._constants else self.places[name]

    def _split(self, node: onnx.NodeProto) -> None:
        at, whole = 0, self.places[node.input[0]]
        self._contiguous(node, node.input[0])
        for name in node.output:
            size = prod(self._shapes[name])
            self.places[name] = Place(whole.base, whole.at + at, size, whole.row)
            at += size

    def _contiguous(self, node: onnx.NodeProto, name: str) -> None:
        """Check that pieces along the axis lie one after the other in memory."""
        (axis,) = (helper.get_attribute_value(each) for each in node.attribute if each.name == "axis")
        shape = self._shapes[name]
        assert prod(shape[: axis % len(shape)]) == 1, f"{node.name}: the pieces along axis {axis} are not contiguous"

    def _view(self, node: onnx.NodeProto) -> None:
        """The same elements under another name; in a loop they are read as float32, whatever they are stored as."""
        if node.input[0] in self._constants:
            self._constants[node.output[0]] = self._constants[node.input[0]].astype(np.float32)
        else:
            self.places[node.output[0]] = self.places[node.input[0]]

    _squeeze = _unsqueeze = _identity = _cast = _view

    def _concat(self, node: onnx.NodeProto) -> None:
        self._contiguous(node, node.output[0])
        sources, at = [self._at(name) for name in node.input], 0
        self.finish_loop()
        out = self._new(node.output[0])
        for x in sources:
            self.operations.append(Copy(Place(out.base, at, x.size), x))
            at += x.size

    def _gather(self, node: onnx.NodeProto) -> None:
        assert node.input[1] == self._token, f"{node.name}: only the token chooses rows"
        table = self._constants[node.input[0]]
        self.used[node.input[0]] = table
        self.places[node.output[0]] = Place(node.input[0], 0, table.shape[1], row=True)

    def _matmul(self, node: onnx.NodeProto) -> None:
        x = self._at(node.input[0])
        self.finish_loop()
        self.used[node.input[1]] = self._constants[node.input[1]]
        self.operations.append(Product(self._new(node.output[0]), x, node.input[1]))

    def _matmulinteger(self, node: onnx.NodeProto) -> None:
        """The weights' zero point is taken off, so that they are signed."""
        x, W = self.places[node.input[0]], self._constants[node.input[1]]
        self.finish_loop()
        self.used[node.input[1]] = (W.astype(np.int16) - int(self._constants[node.input[3]])).astype(np.int8)
        self.operations.append(Product(self._new(node.output[0]), x, node.input[1], self._operand(node.input[2])))

    def _quantizelinear(self, node: onnx.NodeProto) -> None:
        x, (scale, zero) = self._at(node.input[0]), (float(self._constants[name]) for name in node.input[1:])
        self.finish_loop()
        self.codes.add(node.output[0])
        self.operations.append(Quantize(self._new(node.output[0]), x, scale, zero))

    def _dynamicquantizelinear(self, node: onnx.NodeProto) -> None:
        x = self._at(node.input[0])
        self.finish_loop()
        out, scale, zero = map(self._new, node.output)
        self.codes.add(node.output[0])
        self.operations.append(Quantize(out, x, scale, zero))


def _reads(operation: Operation) -> list[Place]:
    """The places that an operation reads."""
    if isinstance(operation, Loop):
        return operation.read
    zero = operation.zero if isinstance(operation, Product) else None
    return [operation.x, *([zero] if isinstance(zero, Place) else [])]


def _writes(operation: Operation) -> list[Place]:
    """The places that an operation writes."""
    if isinstance(operation, Loop):
        return [place for place, _ in operation.stores]
    further = (operation.scale, operation.zero) if isinstance(operation, Quantize) else ()
    return [operation.out, *(place for place in further if isinstance(place, Place))]


def _placed(
    reader: _Reader, fed: tuple[str, int], states: dict[str, tuple[int, ...]], outputs: Sequence[str]
) -> Program:
    """Find room in the scratch arrays for every value that is read after its loop, and forget the others."""
    results = {name: reader.places[name] for name in outputs}
    last = {place.base: i for i, operation in enumerate(reader.operations) for place in _reads(operation)}
    last |= dict.fromkeys((place.base for place in results.values()), len(reader.operations))
    room = {WORK: _Room(), CODES: _Room()}
    found: dict[str, tuple[str, int]] = {}
    operations: list[Operation] = []

    def moved(place: Place) -> Place:
        base, at = found.get(place.base, (place.base, 0))
        return Place(base, at + place.at, place.size, place.row)

    for i, operation in enumerate(reader.operations):
        for place in _writes(operation):
            if place.base in last and place.base not in found:
                array = CODES if place.base in reader.codes else WORK
                found[place.base] = array, room[array].take(reader.places[place.base].size)
        operations.append(_rebased(operation, last, moved))
        for base, (array, at) in found.items():
            if last[base] == i:
                room[array].give(at, reader.places[base].size)
    final = {name: moved(place) for name, place in results.items()}
    return Program(tuple(operations), *fed, reader.used, states, final, room[WORK].most, room[CODES].most)


def _rebased(operation: Operation, kept: Mapping[str, int], moved: Callable[[Place], Place]) -> Operation:
    """An operation on places in the scratch arrays; a loop keeps only what is read after it."""
    if not isinstance(operation, Loop):
        places = {name: moved(each) for name, each in vars(operation).items() if isinstance(each, Place)}
        return replace(operation, **places)  # type: ignore[arg-type]  # each is a place already

    def operand(each: Operand) -> Operand:
        return moved(each) if isinstance(each, Place) else each

    values = tuple((name, kind, tuple(map(operand, each))) for name, kind, each in operation.values)
    stores = tuple((moved(place), name) for place, name in operation.stores if place.base in kept)
    return Loop(operation.size, values, stores)


class _Room:
    """A scratch array in which places are taken and given back, first fit."""

    def __init__(self) -> None:
        self.most = 0
        self._free: list[tuple[int, int]] = [(0, 1 << 40)]

    def take(self, size: int) -> int:
        """The start of `size` free elements."""
        size = _rounded(size)
        number, (at, end) = next((i, gap) for i, gap in enumerate(self._free) if gap[1] - gap[0] >= size)
        self._free[number : number + 1] = [(at + size, end)] if at + size < end else []
        self.most = max(self.most, at + size)
        return at

    def give(self, at: int, size: int) -> None:
        """Give elements back."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self._free, (at, at + _rounded(size))]):
            if merged and merged[-1][1] == start:
                merged[-1] = merged[-1][0], end
            else:
                merged.append((start, end))
        self._free = merged


def _rounded(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
