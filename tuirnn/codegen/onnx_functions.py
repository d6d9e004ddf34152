"""The operations of cells as ONNX operators that every runtime has and computes accurately in the range of float32.

The Softplus of some runtimes overflows from 88 on, that of others loses all digits of small results. Softplus and
log_sigmoid therefore use Atanh, which all runtimes compute accurately: log(1 + t) = 2 atanh(t / (2 + t)).
"""

from collections.abc import Callable, Mapping

from onnx import TensorProto

from tuirnn.codegen.onnx_builder import GraphBuilder

Write = Callable[..., str]
"""(graph, name of the result without prefix, name of each operand) -> name of the result."""


def number(b: GraphBuilder, value: float) -> str:
    """Add a float32 constant; returns its name."""
    return b.constant(f"number_{value:.9g}", value, "float32")


def condition(b: GraphBuilder, name: str, x: str) -> str:
    """Add the truth value x > 0; returns its name."""
    return b.op("Greater", x, number(b, 0.0), name=name)


def _plain(kind: str, **attributes: int) -> Write:
    return lambda b, name, *operands: b.op(kind, *operands, name=name, **attributes)


def _log_of_one_more(b: GraphBuilder, name: str, x: str, factor: float) -> str:
    """Add factor · log(1 + e^−|x|)."""
    t = b.op("Exp", b.op("Neg", b.op("Abs", x, name=name + "_abs"), name=name + "_below"), name=name + "_exp")
    share = b.op("Div", t, b.op("Add", t, number(b, 2.0), name=name + "_two"), name=name + "_share")
    return b.op("Mul", b.op("Atanh", share, name=name + "_atanh"), number(b, 2.0 * factor), name=name + "_log")


def _softplus(b: GraphBuilder, name: str, x: str) -> str:
    """Add max(0, x) + log(1 + e^−|x|)."""
    return b.op("Add", b.op("Relu", x, name=name + "_relu"), _log_of_one_more(b, name, x, 1.0), name=name)


def _log_sigmoid(b: GraphBuilder, name: str, x: str) -> str:
    """Add min(0, x) − log(1 + e^−|x|)."""
    least = b.op("Sub", x, b.op("Relu", x, name=name + "_relu"), name=name + "_least")
    return b.op("Add", least, _log_of_one_more(b, name, x, -1.0), name=name)


def _expm1(b: GraphBuilder, name: str, x: str) -> str:
    """Add e^x − 1 as tanh(x / 2) (e^x + 1), which subtracts nothing."""
    half = b.op("Tanh", b.op("Mul", x, number(b, 0.5), name=name + "_half"), name=name + "_tanh")
    more = b.op("Add", b.op("Exp", x, name=name + "_exp"), number(b, 1.0), name=name + "_more")
    return b.op("Mul", half, more, name=name)


PLAIN = ("add", "sub", "mul", "div", "neg", "sigmoid", "tanh", "exp", "sqrt", "relu")
"""The operations that ONNX has under the same name."""

WRITE: Mapping[str, Write] = {
    **{name: _plain(name.capitalize()) for name in PLAIN},
    "log_sigmoid": _log_sigmoid,
    "expm1": _expm1,
    "softplus": _softplus,
    "is_positive": _plain("Cast", to=TensorProto.FLOAT),
    "maximum": _plain("Max"),
    "select": _plain("Where"),
}
"""Operation -> the function that adds its nodes; `select` and `is_positive` take a truth value as first operand."""

CONDITIONAL = ("select", "is_positive")
"""The operations whose first operand becomes a truth value: whether it is above zero."""
