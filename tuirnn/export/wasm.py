"""A network as a WebAssembly module without imports: one step in float32, its weights in the memory.

Exports: `memory`; `step(token)`, which returns nothing; and the addresses `input` (of a point), `answer` (of logits or
the next point) and `state_0`, `state_1` … (of the state's parts, in the order of `state_map`), float32 each. The state
begins with zeros, and `step` replaces it.
"""

from math import prod

import numpy as np

from tuirnn.codegen.wasm import EMPTY_BLOCK, I32, Function, Module
from tuirnn.codegen.wasm_functions import WIDEST, WRITE, product
from tuirnn.export.program import WORK, Constant, Copy, Loop, Operand, Place, Product, Program, cut

FIRST = 1024
"""Address of the first constant."""

ALIGNED = 64

ANSWER = " answer"
"""What is not the name of a value."""


def wasm_module(program: Program) -> bytes:
    """The module of a program with weights in float32."""
    return _Writer(program).module()


def panels(W: Constant) -> tuple[Constant, list[int]]:
    """W [K, N] cut into panels; and their widths: all `WIDEST` but the last, which is a multiple of 4."""
    N = W.shape[1]
    widths = [WIDEST] * (N // WIDEST) + ([-(-(N % WIDEST) // 4) * 4] if N % WIDEST else [])
    return cut(W, widths), widths


class _Writer:
    """Lays out the memory, and writes `step`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.built = Module()
        self._products: dict[int, int] = {}
        self._widths: dict[str, list[int]] = {}
        self._at: dict[str, int] = {}
        self._contents = bytearray(FIRST)
        for name, value in program.constants.items():
            stored: Constant = np.asarray(value, np.float32)
            if name in program.weights:
                stored, self._widths[name] = panels(stored)
            self._at[name] = self._reserve(len(self._contents))
            self._contents += bytes(self._at[name] - len(self._contents)) + stored.astype("<f4").tobytes()
        end = self._reserve(len(self._contents) + ALIGNED)  # the last loop of a table's last row reads beyond it
        answer = next(iter(program.results.values())).size
        sizes = {program.fed: program.columns, ANSWER: answer, WORK: program.work}
        for name, size in ({name: prod(shape) for name, shape in program.states.items()} | sizes).items():
            self._at[name] = end
            end = self._reserve(end + 4 * size + ALIGNED)
        self._end = end

    @staticmethod
    def _reserve(address: int) -> int:
        return -(-address // ALIGNED) * ALIGNED

    def module(self) -> bytes:
        """The whole module."""
        step = Function(1)
        for operation in self.program.operations:
            if isinstance(operation, Loop):
                self._loop(step, operation)
            elif isinstance(operation, Product):
                self._product(step, operation)
            else:
                assert isinstance(operation, Copy), "integer products are not written"
                self._copy(step, self._address(operation.out), operation.x)
        targets = [ANSWER, *self.program.states]
        for name, place in zip(targets, self.program.results.values(), strict=True):
            self._copy(step, self._at[name], place)
        addresses = {f"state_{i}": self._at[name] for i, name in enumerate(self.program.states)}
        addresses |= {"input": self._at[self.program.fed], "answer": self._at[ANSWER]}
        exports = {"step": self.built.add(step)}
        return self.built.encoded(exports, addresses, bytes(self._contents), self._end)

    def _address(self, place: Place) -> int:
        """Of a place that is no row of a table."""
        return self._at[place.base] + 4 * place.at

    def _pointer(self, f: Function, place: Place) -> None:
        """Push the address of a place."""
        f.op("i32.const", self._address(place))
        if place.row:
            f.op("local.get", 0)
            f.op("i32.const", 4 * self.program.constants[place.base].shape[1])
            f.op("i32.mul")
            f.op("i32.add")

    def _copy(self, f: Function, address: int, x: Place) -> None:
        f.op("i32.const", address)
        self._pointer(f, x)
        f.op("i32.const", 4 * x.size)
        f.op("memory.copy")

    def _product(self, f: Function, operation: Product) -> None:
        W, y = self._at[operation.weight], self._address(operation.out)
        widths = self._widths[operation.weight]
        for width, count in ((width, widths.count(width)) for width in dict.fromkeys(widths)):
            if width not in self._products:
                self._products[width] = self.built.add(product(width))
            f.op("i32.const", W)
            self._pointer(f, operation.x)
            self._pointer(f, operation.x)
            f.op("i32.const", 4 * operation.x.size)
            f.op("i32.add")
            f.op("i32.const", y)
            f.op("i32.const", y + 4 * width * count)
            f.op("call", self._products[width])
            W += 4 * width * count * operation.x.size
            y += 4 * width * count

    def _loop(self, f: Function, operation: Loop) -> None:
        """Four elements at a time; the last four may go beyond the end, into what belongs to the same value."""
        j, end = f.local(I32), f.local(I32)
        rows = {place.base: f.local(I32) for place in operation.read if place.row}
        for base, local in rows.items():
            self._pointer(f, Place(base, 0, 0, row=True))
            f.op("local.set", local)
        f.op("i32.const", 0)
        f.op("local.set", j)
        f.op("i32.const", 4 * operation.size)
        f.op("local.set", end)
        f.op("loop", EMPTY_BLOCK)
        named: dict[str, int] = {}
        for name, kind, operands in operation.values:
            named[name] = WRITE[kind](f, *(self._operand(f, each, named, j, rows) for each in operands))
        for place, name in operation.stores:
            f.store(j, self._address(place), named[name])
        f.advance(j, 16)
        f.repeat_below(j, end)

    def _operand(self, f: Function, each: Operand, named: dict[str, int], j: int, rows: dict[str, int]) -> int:
        """The local with an operand's four elements."""
        if isinstance(each, str):
            return named[each]
        if isinstance(each, float):
            return f.number(each)
        if each.row:
            return f.load(f.do("i32.add", rows[each.base], j, kind=I32), 4 * each.at)
        if each.size == 1:
            f.op("i32.const", 0)
            return f.load(f.keep(I32), self._address(each), "v128.load32_splat")
        return f.load(j, self._address(each))
