"""One step of a cell as loops and products over one scratch array: what C and WebAssembly are written from.

`lowering` makes it from the graph of the cell file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Constant = npt.NDArray[np.generic]

WORK, CODES = "work", "codes"
"""The scratch arrays: of float32, and of unsigned 8-bit codes."""


@dataclass(frozen=True)
class Place:
    """Elements in memory, or a number.

    Attributes:
        base: `WORK`, `CODES`, the name of an input of the graph or of a constant.
        at: first element.
        size: elements.
        row: the elements are a row of a table, chosen by the token.
    """

    base: str
    at: int
    size: int
    row: bool = False


Operand = Place | str | float
"""Of an elementwise operation: elements in memory, a value of the same loop by its name, or a number."""


@dataclass(frozen=True)
class Product:
    """out [N] = x [K] W [K, N]; of codes: the exact integer sums of (x − zero) W, as float32."""

    out: Place
    x: Place
    weight: str
    zero: Operand | None = None


@dataclass(frozen=True)
class Quantize:
    """Codes of x in a byte each: round(x / scale) + zero; of places, scale and zero are computed."""

    out: Place
    x: Place
    scale: Place | float
    zero: Place | float


@dataclass(frozen=True)
class Loop:
    """Elementwise operations on `size` elements.

    Attributes:
        values: (name, operator, operands), in order.
        stores: place -> the name of the value that is kept there.
    """

    size: int
    values: tuple[tuple[str, str, tuple[Operand, ...]], ...]
    stores: tuple[tuple[Place, str], ...]

    @property
    def read(self) -> list[Place]:
        """The places that it reads."""
        return [each for _, _, operands in self.values for each in operands if isinstance(each, Place)]


@dataclass(frozen=True)
class Copy:
    """The same elements in another place."""

    out: Place
    x: Place


Operation = Product | Quantize | Loop | Copy


@dataclass(frozen=True)
class Program:
    """One step of a cell.

    Attributes:
        operations: in order.
        fed: name of the input that is read: a token, or a point.
        columns: of a point; 0 for a token.
        constants: by name; weights [K, N] of products, tables [V, N], vectors. Integer weights are signed.
        states: input name of each part of the state -> its shape without the batch.
        results: output name -> where it is at the end, in the graph's order; the answer comes first.
        work, codes: elements of the scratch arrays.
    """

    operations: tuple[Operation, ...]
    fed: str
    columns: int
    constants: Mapping[str, Constant]
    states: Mapping[str, tuple[int, ...]]
    results: Mapping[str, Place]
    work: int
    codes: int

    @property
    def functions(self) -> frozenset[str]:
        """The elementwise operators that occur."""
        loops = [each for each in self.operations if isinstance(each, Loop)]
        return frozenset(kind for loop in loops for _, kind, _ in loop.values)

    @property
    def weights(self) -> frozenset[str]:
        """The constants that are matrices of products."""
        return frozenset(each.weight for each in self.operations if isinstance(each, Product))


def cut(W: Constant, widths: Sequence[int]) -> Constant:
    """Pad W [K, N] with columns of zeros, and cut it into panels of these widths with contiguous rows; flat."""
    padded = np.pad(W, ((0, 0), (0, sum(widths) - W.shape[1])))
    return np.concatenate([panel.ravel() for panel in np.split(padded, np.cumsum(widths)[:-1], axis=1)])
