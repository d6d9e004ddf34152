"""The operators of a cell on four float32 at once, and products, as WebAssembly instructions."""

from collections.abc import Callable, Mapping

from tuirnn.codegen.wasm import EMPTY_BLOCK, I32, V128, Function

WIDEST = 32
"""Columns of a panel: eight vectors of sums stay in registers."""

Write = Callable[..., int]
"""(function, local of each operand) -> local of the result."""

EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
"""Coefficients of e^r for |r| ≤ ln 2 / 2, highest first (Cephes, expf)."""


TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
"""Coefficients of (tanh x − x) / x³ in x² for |x| ≤ 0.625, highest first (Cephes, tanhf)."""


def _plain(name: str) -> Write:
    return lambda f, *operands: f.do(name, *operands)


def _polynomial(f: Function, x: int, coefficients: tuple[float, ...]) -> int:
    total = f.number(coefficients[0])
    for coefficient in coefficients[1:]:
        total = f.do("f32x4.add", f.do("f32x4.mul", total, x), f.number(coefficient))
    return total


def _exp(f: Function, x: int) -> int:
    """e^x as 2 · 2^(n − 1) · e^r; ∞ above 88.7, 0 below −87."""
    x = f.do("f32x4.max", f.do("f32x4.min", x, f.number(89.0)), f.number(-88.0))
    n = f.do("f32x4.nearest", f.do("f32x4.mul", x, f.number(1.44269504)))
    r = f.do("f32x4.sub", x, f.do("f32x4.mul", n, f.number(0.693359375)))
    r = f.do("f32x4.add", r, f.do("f32x4.mul", n, f.number(2.12194440e-4)))
    p = f.do("f32x4.mul", f.do("f32x4.mul", _polynomial(f, r, EXP), r), r)
    p = f.do("f32x4.add", f.do("f32x4.add", p, r), f.number(1.0))
    # the bits of 1 are 127 << 23: adding (n − 1) << 23 makes 2^(n − 1)
    shifted = f.do("i32x4.trunc_sat_f32x4_s", f.do("f32x4.sub", n, f.number(1.0)))
    f.op("local.get", shifted)
    f.op("i32.const", 23)
    f.op("i32x4.shl")
    power = f.do("i32x4.add", f.keep(V128), f.number(1.0))
    return f.do("f32x4.mul", f.do("f32x4.mul", p, power), f.number(2.0))


def _sigmoid(f: Function, x: int) -> int:
    one = f.number(1.0)
    return f.do("f32x4.div", one, f.do("f32x4.add", one, _exp(f, f.do("f32x4.neg", x))))


def _tanh(f: Function, x: int) -> int:
    """(1 − t) / (1 + t) with t = e^(−2x); below 0.625 a polynomial, which keeps the relative accuracy."""
    one, square = f.number(1.0), f.do("f32x4.mul", x, x)
    t = _exp(f, f.do("f32x4.max", f.do("f32x4.mul", x, f.number(-2.0)), f.number(-87.0)))
    t = f.do("f32x4.min", t, f.number(1e37))
    far = f.do("f32x4.div", f.do("f32x4.sub", one, t), f.do("f32x4.add", one, t))
    cubic = f.do("f32x4.mul", f.do("f32x4.mul", _polynomial(f, square, TANH), square), x)
    is_far = f.do("f32x4.gt", square, f.number(0.390625))
    return f.do("v128.bitselect", far, f.do("f32x4.add", cubic, x), is_far)


def _atanh(f: Function, x: int) -> int:
    """x + x³ / 3 + …, right for |x| ≤ 1/3: the exporter's log(1 + t) asks for no other."""
    square = f.do("f32x4.mul", x, x)
    return f.do("f32x4.mul", x, _polynomial(f, square, tuple(1 / n for n in range(17, 0, -2))))


PLAIN = ("Abs", "Add", "Div", "Max", "Min", "Mul", "Neg", "Sqrt", "Sub")
"""The ONNX operators that are an instruction of the same name."""

WRITE: Mapping[str, Write] = {
    **{name: _plain(f"f32x4.{name.lower()}") for name in PLAIN},
    "Atanh": _atanh,
    "Exp": _exp,
    "Greater": lambda f, x, y: f.do("v128.and", f.do("f32x4.gt", x, y), f.number(1.0)),
    "Relu": lambda f, x: f.do("f32x4.max", x, f.number(0.0)),
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    "Where": lambda f, chosen, x, y: f.do("v128.bitselect", x, y, f.do("f32x4.ne", chosen, f.number(0.0))),
}
"""ONNX operator -> its instructions; truth values are 1 and 0."""


def product(columns: int) -> Function:
    """A function of five addresses that computes y = x W by panels of so many columns.

    Its parameters: W, whose panels lie one after the other with contiguous rows; x and its end; y and its end.
    """
    f = Function(5)
    W, x, x_end, y, y_end = range(5)
    k = f.local(I32)
    sums = [f.local(V128) for _ in range(columns // 4)]
    f.op("loop", EMPTY_BLOCK)
    zero = f.number(0.0)
    for total in sums:
        f.op("local.get", zero)
        f.op("local.set", total)
    f.op("local.get", x)
    f.op("local.set", k)
    f.op("loop", EMPTY_BLOCK)
    factor = f.load(k, 0, "v128.load32_splat")
    for i, total in enumerate(sums):
        term = f.do("f32x4.mul", factor, f.load(W, 16 * i))
        f.op("local.get", f.do("f32x4.add", total, term))
        f.op("local.set", total)
    f.advance(W, 4 * columns)
    f.advance(k, 4)
    f.repeat_below(k, x_end)
    for i, total in enumerate(sums):
        f.store(y, 16 * i, total)
    f.advance(y, 4 * columns)
    f.repeat_below(y, y_end)
    return f
