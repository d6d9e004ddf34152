"""A program as C99: its step as a function, its constants as tables.

`c/cell.c` includes the function and defines the products and the functions of numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tuirnn.export.program import CODES, WORK, Constant, Copy, Loop, Operand, Place, Product, Program, Quantize, cut

OPERATIONS = {
    "Abs": "fabsf({})",
    "Add": "{} + {}",
    "Atanh": "atanhf({})",
    "Div": "{} / {}",
    "Exp": "expf({})",
    "Greater": "({} > {} ? 1.0f : 0.0f)",
    "Max": "larger({}, {})",
    "Min": "smaller({}, {})",
    "Mul": "{} * {}",
    "Neg": "-{}",
    "Relu": "({0} < 0 ? 0 : {0})",
    "Sigmoid": "sigmoid({})",
    "Sqrt": "sqrtf({})",
    "Sub": "{} - {}",
    "Tanh": "hyperbolic({})",
    "Where": "({} != 0 ? {} : {})",
}
"""ONNX operator -> its C source for operands that are names or numbers; truth values are 1 and 0."""

DEFINED = ("Sigmoid", "Tanh", "Max", "Min")
"""The operators that cell.c defines as functions if they are used."""

WIDE, NARROW = 64, 16
"""Columns of a panel, see cell.c."""

GROUP = 4
"""Rows of an integer matrix that are neighbours in each column."""


@dataclass(frozen=True)
class Table:
    """A constant array.

    Attributes:
        declared: what declares it, with the default prefix.
        elements: as C writes them.
        size: bytes.
    """

    declared: str
    elements: str
    size: int


def sizes(program: Program) -> dict[str, int]:
    """The macros that `cell.c` needs of a program."""
    uses = {f"CELL_USES_{name.upper()}": int(name in program.functions) for name in DEFINED}
    products = [each for each in program.operations if isinstance(each, Product)]
    uses["CELL_USES_PRODUCT"] = int(any(each.zero is None for each in products))
    uses["CELL_USES_CODES"] = int(program.codes > 0)
    uses["CELL_USES_RANGE"] = int(any(isinstance(each.zero, Place) for each in products))
    return {**uses, "CELL_WORK": program.work, "CELL_CODES": program.codes}


def state_members(program: Program) -> str:
    """The members of the structure that holds the state."""
    return " ".join(
        f"float {_member(name)}{''.join(f'[{size}]' for size in shape)};" for name, shape in program.states.items()
    )


def network_function(program: Program) -> str:
    """The source of `network`, which computes one step and replaces the state."""
    return "\n".join(_Function(program).lines()) + "\n"


def tables(program: Program) -> Iterator[Table]:
    """The constants as `network` reads them."""
    for name, value in program.constants.items():
        if name not in program.weights:
            shape = f"[{value.shape[0]}][{value.shape[1]}]" if value.ndim == 2 else f"[{value.size}]"
            rows = ["{" + _elements(row) + "}" for row in value] if value.ndim == 2 else [_elements(value)]
            yield _table(f"cell_{name}{shape}", value, ",\n".join(rows))
        elif value.dtype == np.int8:
            flat, sums = groups(value), np.pad(value.sum(0, np.int32), (0, -value.shape[1] % NARROW))
            yield _table(f"cell_{name}[{flat.size}]", flat, _elements(flat))
            yield _table(f"cell_{name}_sums[{sums.size}]", sums, _elements(sums))
        else:
            flat = panels(value)
            yield _table(f"cell_{name}[{flat.size}]", flat, _elements(flat))


def _table(name: str, value: Constant, elements: str) -> Table:
    kind = {"b": "int8_t", "i": "int32_t"}.get(value.dtype.char, "float")
    return Table(f"const {kind} {name} CELL_ALIGNED", elements, value.size * (1 if kind == "int8_t" else 4))


def panels(W: Constant) -> Constant:
    """W [K, N] as cell.c reads it: N padded to 16, cut into panels of 64 columns and then of 16; flat."""
    wide, narrow = divmod(-(-W.shape[1] // NARROW), WIDE // NARROW)
    return cut(W, [WIDE] * wide + [NARROW] * narrow)


def groups(W: Constant) -> Constant:
    """W [K, N] of integers: panels of 16 columns, in each of which four rows of a column are neighbours; flat."""
    K, N = W.shape
    padded = np.pad(W, ((0, -K % GROUP), (0, -N % NARROW)))
    blocks = padded.reshape(-1, GROUP, padded.shape[1] // NARROW, NARROW)
    return np.ascontiguousarray(blocks.transpose(2, 0, 3, 1)).ravel()


def _elements(values: Constant) -> str:
    """Integers; or float32 numbers that read back as themselves; some on a line."""
    if values.dtype.kind == "i":
        texts = list(map(str, values.ravel().tolist()))
    else:
        texts = [number(x) for x in np.asarray(values, np.float32).ravel().tolist()]
    return ",\n".join(", ".join(texts[at : at + 10]) for at in range(0, len(texts), 10))


def number(value: float) -> str:
    """A float32 with enough digits to read back the same number."""
    text = f"{value:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def _member(name: str) -> str:
    return name.removesuffix("_in")


@dataclass(frozen=True)
class _Function:
    """Writes `network`."""

    program: Program

    def lines(self) -> list[str]:
        """The whole function."""
        program = self.program
        body = [line for operation in program.operations for line in self._operation(operation)]
        answer, *states = program.results.values()
        body.append(self._copy("answer", answer))
        body += [self._copy(name, place) for name, place in zip(program.states, states, strict=True)]
        text = "\n".join(body)
        fed = "const float *x" if program.columns else "int token"
        firsts = {name: f"&state->{_member(name)}{'[0]' * len(shape)}" for name, shape in program.states.items()}
        scratch = [f"    float {WORK}[CELL_WORK] CELL_ALIGNED;"]
        scratch += [f"    uint8_t {CODES}[CELL_CODES] CELL_ALIGNED;"] if program.codes else []
        return [
            "/* One step: the state is replaced. Made from the graph of the cell file, whose names it uses. */",
            f"static void network({fed}, cell_state *state, float *answer) {{",
            *scratch,
            *(f"    float *const {name} = {first};" for name, first in firsts.items()),
            text,
            "}",
        ]

    def _operation(self, operation: Product | Quantize | Loop | Copy) -> Iterator[str]:
        if isinstance(operation, Loop):
            yield from self._loop(operation)
        elif isinstance(operation, Copy):
            yield self._copy(self._address(operation.out), operation.x)
        elif isinstance(operation, Quantize):
            yield from self._quantize(operation)
        else:
            W, x, y = f"cell_{operation.weight}", self._address(operation.x), self._address(operation.out)
            K, N = self.program.constants[operation.weight].shape
            padded = -(-N // NARROW) * NARROW
            if operation.zero is None:
                yield f"    product({W}, {x}, {K}, {padded}, {y});"
            else:
                zero = self._integer(operation.zero)
                yield f"    product_of_codes({W}, {W}_sums, {x}, {zero}, {-(-K // GROUP) * GROUP}, {padded}, {y});"

    def _quantize(self, operation: Quantize) -> Iterator[str]:
        x, size = self._address(operation.x), operation.x.size
        if isinstance(operation.scale, Place) and isinstance(operation.zero, Place):
            scale, zero = self._element(operation.scale, "0"), self._element(operation.zero, "0")
            yield f"    range_of({x}, {size}, &{scale}, &{zero});"
        else:
            assert isinstance(operation.scale, float)
            assert isinstance(operation.zero, float)
            scale, zero = number(operation.scale), number(operation.zero)
        yield f"    quantize({x}, {size}, {scale}, {zero}, {self._address(operation.out)});"

    def _loop(self, operation: Loop) -> Iterator[str]:
        yield f"    for (int j = 0; j < {operation.size}; j++) {{"
        for name, kind, operands in operation.values:
            texts = [self._operand(each) for each in operands]
            yield f"        const float v_{name} = {OPERATIONS[kind].format(*texts)};"
        for place, name in operation.stores:
            yield f"        {self._element(place, 'j')} = v_{name};"
        yield "    }"

    def _operand(self, each: Operand) -> str:
        if isinstance(each, str):
            return f"v_{each}"
        if isinstance(each, float):
            return f"({number(each)})" if each < 0 else number(each)
        text = self._element(each, "0" if each.size == 1 else "j")
        stored = self.program.constants.get(each.base)
        return f"(float){text}" if stored is not None and stored.dtype == np.int8 else text

    def _element(self, place: Place, index: str) -> str:
        at = str(place.at) if index == "0" else f"{place.at} + {index}" if place.at else index
        return f"{self._base(place)}[{at}]"

    def _base(self, place: Place) -> str:
        name = f"cell_{place.base}" if place.base in self.program.constants else place.base
        return f"{name}[token]" if place.row else "x" if place.base == self.program.fed else name

    def _address(self, place: Place) -> str:
        return f"{self._base(place)} + {place.at}" if place.at else self._base(place)

    def _integer(self, zero: Operand) -> str:
        return str(int(zero)) if isinstance(zero, float) else f"(int32_t){self._operand(zero)}"

    def _copy(self, to: str, x: Place) -> str:
        return f"    memcpy({to}, {self._address(x)}, {x.size} * sizeof(float));"
