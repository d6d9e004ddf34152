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
    def __truediv__(self, other: "Self | float", /) -> "Self": ...
    def __rtruediv__(self, other: float, /) -> "Self": ...
    def __neg__(self) -> "Self": ...


V = TypeVar("V", bound=Value)

FUNCTIONS = {
    "sigmoid": 1,
    "log_sigmoid": 1,
    "tanh": 1,
    "exp": 1,
    "expm1": 1,
    "softplus": 1,
    "sqrt": 1,
    "relu": 1,
    "is_positive": 1,
    "maximum": 2,
    "select": 3,
}
"""Every function that a cell may use -> its number of arguments; each reader has to know them, in the full range of
float32: log_sigmoid(-1000) is -1000, softplus(1000) is 1000, sigmoid and tanh never overflow."""

_tables: dict[type, Mapping[str, Callable[..., object]]] = {}


def register(kind: type, table: Mapping[str, Callable[..., object]]) -> None:
    """Say how values of a kind compute each of `FUNCTIONS`.

    Raises:
        ValueError: one is missing.
    """
    if missing := set(FUNCTIONS) - set(table):
        raise ValueError(f"{kind.__name__} lacks the functions {', '.join(sorted(missing))}")
    _tables[kind] = table


def apply(name: str, *arguments: V | float) -> V:
    """One of `FUNCTIONS` of some values, at least one of which is not a mere number."""
    for argument in arguments:
        for kind in type(argument).__mro__:
            if kind in _tables:
                return _tables[kind][name](*arguments)  # type: ignore[return-value]
    kinds = ", ".join(type(each).__name__ for each in arguments)
    raise TypeError(f"no functions are registered for {kinds}; see tuirnn.cells.functions.register")


def sigmoid(x: V) -> V:
    """1 / (1 + e^−x)."""
    return apply("sigmoid", x)


def log_sigmoid(x: V) -> V:
    """log σ(x) = −log(1 + e^−x)."""
    return apply("log_sigmoid", x)


def tanh(x: V) -> V:
    """Hyperbolic tangent."""
    return apply("tanh", x)


def exp(x: V) -> V:
    """e^x."""
    return apply("exp", x)


def expm1(x: V) -> V:
    """e^x − 1, exact to its last digits where x is small."""
    return apply("expm1", x)


def softplus(x: V) -> V:
    """log(1 + e^x)."""
    return apply("softplus", x)


def sqrt(x: V) -> V:
    """√x."""
    return apply("sqrt", x)


def relu(x: V) -> V:
    """max(0, x); NaN stays NaN."""
    return apply("relu", x)


def is_positive(x: V) -> V:
    """1 where x > 0, else 0: the derivative of relu."""
    return apply("is_positive", x)


def maximum(x: V, y: V | float) -> V:
    """The larger of two values; NaN where one is NaN."""
    return apply("maximum", x, y)


def select(condition: V, x: V | float, y: V | float) -> V:
    """x where the condition is > 0, else y."""
    return apply("select", condition, x, y)
