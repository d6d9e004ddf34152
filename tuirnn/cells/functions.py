"""The functions that cells use, for any registered type of value.

`codegen.arrays` registers numpy's arrays, `kernels.eager` PyTorch's tensors, `codegen.expression` traced expressions.
A cell file therefore imports none of them.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, Self, TypeVar


class Value(Protocol):
    """The values that a cell computes with: arrays or expressions with elementwise arithmetic."""

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
"""Function that cells may use -> its number of arguments. Every implementation must be accurate in the full range of
float32: log_sigmoid(-1000) is -1000, softplus(1000) is 1000, sigmoid and tanh never overflow."""

_tables: dict[type, Mapping[str, Callable[..., object]]] = {}


def register(kind: type, table: Mapping[str, Callable[..., object]]) -> None:
    """Register how values of a type compute the functions.

    Args:
        kind: the type; it is used for subclasses too.
        table: an implementation of each of `FUNCTIONS`.
    Raises:
        ValueError: a function is missing.
    """
    if missing := set(FUNCTIONS) - set(table):
        raise ValueError(f"{kind.__name__} must implement the functions {', '.join(sorted(missing))}")
    _tables[kind] = table


def apply(name: str, *arguments: V | float) -> V:
    """Apply one of `FUNCTIONS` to values, at least one of which is not a number.

    Raises:
        TypeError: no type of the values is registered.
    """
    for argument in arguments:
        for kind in type(argument).__mro__:
            if kind in _tables:
                return _tables[kind][name](*arguments)  # type: ignore[return-value]
    kinds = ", ".join(type(each).__name__ for each in arguments)
    raise TypeError(f"no functions are registered for {kinds}; see tuirnn.cells.functions.register")


def sigmoid(x: V) -> V:
    """Compute 1 / (1 + e^−x)."""
    return apply("sigmoid", x)


def log_sigmoid(x: V) -> V:
    """Compute log σ(x) = −log(1 + e^−x)."""
    return apply("log_sigmoid", x)


def tanh(x: V) -> V:
    """Compute the hyperbolic tangent."""
    return apply("tanh", x)


def exp(x: V) -> V:
    """Compute e^x."""
    return apply("exp", x)


def expm1(x: V) -> V:
    """Compute e^x − 1, accurately also for small x."""
    return apply("expm1", x)


def softplus(x: V) -> V:
    """Compute log(1 + e^x)."""
    return apply("softplus", x)


def sqrt(x: V) -> V:
    """Compute √x."""
    return apply("sqrt", x)


def relu(x: V) -> V:
    """Compute max(0, x); NaN stays NaN."""
    return apply("relu", x)


def is_positive(x: V) -> V:
    """Compute 1 if x > 0, else 0: the derivative of relu."""
    return apply("is_positive", x)


def maximum(x: V, y: V | float) -> V:
    """Compute the larger of two values; NaN if one is NaN."""
    return apply("maximum", x, y)


def select(condition: V, x: V | float, y: V | float) -> V:
    """Compute x if the condition is > 0, else y."""
    return apply("select", condition, x, y)
