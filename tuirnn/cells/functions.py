"""The functions that a cell is written with, for whatever kind of value it is given.

A kind registers how it computes each function, where it is used: numpy's arrays in `codegen.arrays`, PyTorch's tensors
in `kernels.eager`, traced expressions in `codegen.expression`. So a cell file needs none of them.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, Self, TypeVar


class Value(Protocol):
    """What a cell computes with: numbers, or stand-ins for numbers, with elementwise arithmetic."""

    def __add__(self, other: "Self | float", /) -> "Self": ...
    def __radd__(self, other: float, /) -> "Self": ...
    def __sub__(self, other: "Self | float", /) -> "Self": ...
    def __rsub__(self, other: float, /) -> "Self": ...
    def __mul__(self, other: "Self | float", /) -> "Self": ...
    def __rmul__(self, other: float, /) -> "Self": ...
    def __neg__(self) -> "Self": ...


V = TypeVar("V", bound=Value)

FUNCTIONS = ("sigmoid", "tanh", "relu", "is_positive")
"""Every function of one value that a cell may use; each reader has to know them."""

_tables: dict[type, Mapping[str, Callable[..., object]]] = {}


def register(kind: type, table: Mapping[str, Callable[..., object]]) -> None:
    """Say how values of a kind compute each of `FUNCTIONS`.

    Raises:
        ValueError: one is missing.
    """
    if missing := set(FUNCTIONS) - set(table):
        raise ValueError(f"{kind.__name__} lacks the functions {', '.join(sorted(missing))}")
    _tables[kind] = table


def apply(name: str, x: V) -> V:
    """One of `FUNCTIONS` of a value."""
    for kind in type(x).__mro__:
        if kind in _tables:
            return _tables[kind][name](x)  # type: ignore[return-value]
    raise TypeError(f"no functions are registered for {type(x).__name__}; see tuirnn.cells.functions.register")


def sigmoid(x: V) -> V:
    """1 / (1 + e^−x)."""
    return apply("sigmoid", x)


def tanh(x: V) -> V:
    """Hyperbolic tangent."""
    return apply("tanh", x)


def relu(x: V) -> V:
    """max(0, x); NaN stays NaN."""
    return apply("relu", x)


def is_positive(x: V) -> V:
    """1 where x > 0, else 0: the derivative of relu."""
    return apply("is_positive", x)
