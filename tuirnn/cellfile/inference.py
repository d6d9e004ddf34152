"""Inference of an operator's outputs from its inputs: element types, shapes, and bounds of numbers.

Each function belongs to a row of the table in `forms`; it raises CellFileError if the inputs do not fit together.
"""

from dataclasses import dataclass

from tuirnn.cellfile.values import BOOL, F16, F32, FREE, I8, I32, I64, KEPT, U8, Dim, Shape, Stands, Value, need

MAX_INNER = 2**15
"""Most rows of an 8-bit matrix, so that sums of products of two bytes fit in 32 bits."""

LEAST_SCALE, LEAST_DIVISOR = 1e-30, 1e-7
"""Least scale of a quantization, so that its inverse is finite; least divisor, so that rounding does not determine the
quotient."""


@dataclass(frozen=True)
class Use:
    """A node: its inputs, attributes, number of outputs, and the operators of the cell's step."""

    inputs: list[Value]
    attributes: dict[str, int]
    outputs: int
    step: frozenset[str]

    def shape(self, number: int = 0) -> Shape:
        """Return the shape of an input."""
        return self.inputs[number].shape

    def numbers(self, number: int) -> tuple[int, ...]:
        """Return the elements of an input that the table requires to be a small constant."""
        known = self.inputs[number].numbers
        assert known is not None
        return tuple(map(int, known))

    def axis(self, number: int, rank: int) -> int:
        """Return an axis counted from zero."""
        need(-rank <= number < rank, "has axis {} of {}", number, rank)
        return number % rank


def broadcast(*shapes: Shape) -> Shape:
    """Return the common shape; a dynamic batch axis matches itself or 1."""
    rank = max(map(len, shapes))
    joined: list[Dim] = []
    for dims in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        wide = {dim for dim in dims if dim != 1}
        need(len(wide) < 2, "cannot combine the shapes {}", shapes)
        joined.append(wide.pop() if wide else 1)
    return tuple(joined)


def same(use: Use) -> list[Value]:
    """Infer an output with the type and shape of the input."""
    return [Value(use.inputs[0].dtype, use.shape())]


def elementwise(use: Use) -> list[Value]:
    """Infer an elementwise result: one type, broadcast shape."""
    need(len({value.dtype for value in use.inputs}) == 1, "mixes types")
    return [Value(use.inputs[0].dtype, broadcast(*(value.shape for value in use.inputs)))]


def scaled(use: Use) -> list[Value]:
    """Infer a product; sums of codes must be multiplied by the scale of their quantization or by a stored one."""
    result = elementwise(use)[0]
    for one, other in (use.inputs, use.inputs[::-1]):
        if one.stands is None:
            continue
        if one.stands.what == "scale":
            need(other.constant, "must multiply a scale by the weights' scales")
            return [Value(F32, result.shape, stands=Stands("scales", one.stands.source))]
        if one.stands.what == "sums":
            own = other.stands == Stands("scales", one.stands.source)
            stored = other.constant and isinstance(one.stands.source, float)
            need(own or stored, "must multiply sums of codes by their own scale")
            return [result]
        need(other.stands is not None and other.stands.what == "sums", "reads a scale as a number")
    return [result]


def larger(use: Use) -> list[Value]:
    """Infer a maximum; a constant operand bounds it from below."""
    least = max(value.numbers[0] if value.constant and value.numbers else 0.0 for value in use.inputs)
    return [Value(F32, elementwise(use)[0].shape, nearest=least)]


def quotient(use: Use) -> list[Value]:
    """Infer a quotient; only the step of a cell that divides may have a divisor without a lower bound."""
    divisor = use.inputs[1]
    known = divisor.nearest >= LEAST_DIVISOR or (not divisor.constant and "Div" in use.step)
    need(known, "divides by a value that may be zero")
    return elementwise(use)


def compare(use: Use) -> list[Value]:
    """Infer truth values of the broadcast shape."""
    return [Value(BOOL, elementwise(use)[0].shape)]


def where(use: Use) -> list[Value]:
    """Infer a choice between two values of one type."""
    need(use.inputs[1].dtype == use.inputs[2].dtype, "mixes types")
    return [Value(use.inputs[1].dtype, broadcast(*(value.shape for value in use.inputs)))]


def product(use: Use) -> Shape:
    """Return the shape of x [..., K] times W [K, N]."""
    x, W = use.shape(0), use.shape(1)
    need(len(x) in (2, 3) and len(W) == 2 and FREE not in W and x[-1] == W[0], "multiplies {} by {}", x, W)
    return (*x[:-1], W[1])


def matmul(use: Use) -> list[Value]:
    """Infer a product of float32 matrices."""
    return [Value(F32, product(use))]


def matmul_integer(use: Use) -> list[Value]:
    """Infer a product of 8-bit codes with the zero points of their quantizations: sums in 32 bits."""
    inner = use.shape(1)[0] if use.shape(1) else 0
    need(isinstance(inner, int) and inner <= MAX_INNER, "computes sums that may overflow 32 bits")
    need(not use.shape(2) and not use.shape(3), "has zero points that are not scalars")
    codes, zero = use.inputs[0].stands, use.inputs[2]
    need(codes is not None and codes.what == "codes", "must multiply codes")
    source = codes and codes.source
    own = zero.stands == Stands("zero", source) or (zero.constant and isinstance(source, float))
    need(own, "has the zero point of another quantization")
    return [Value(I32, product(use), stands=Stands("sums", source))]


def gemm(use: Use) -> list[Value]:
    """Infer a product of matrices plus a bias."""
    out = product(use)
    need(len(out) == 2 and broadcast(use.shape(2), out) == out, "adds {} to {}", use.shape(2), out)
    return [Value(F32, out)]


def gather(use: Use) -> list[Value]:
    """Infer rows of a table; constant indices must exist."""
    data, indices = use.shape(0), use.shape(1)
    need(len(data) > 0 and len(indices) + len(data) <= 4, "takes rows {} of {}", indices, data)
    rows = data[0]
    need(isinstance(rows, int), "takes rows of a value whose size only the host knows")
    known = use.inputs[1].numbers if use.inputs[1].constant else None
    need(known is None or all(0 <= row < int(rows) for row in known), "takes a row that does not exist")
    return [Value(use.inputs[0].dtype, (*indices, *data[1:]))]


def split(use: Use) -> list[Value]:
    """Infer the pieces of a Split, whose sizes must add up to the axis."""
    shape, sizes = use.shape(), use.numbers(1)
    axis = use.axis(use.attributes["axis"], len(shape))
    whole = len(sizes) == use.outputs and min(sizes) > 0 and sum(sizes) == shape[axis]
    need(whole, "cannot split {} into {} pieces of {}", shape, use.outputs, sizes)
    return [Value(use.inputs[0].dtype, (*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]


def concat(use: Use) -> list[Value]:
    """Infer a Concat of values that differ only in the size of its axis."""
    shapes = [value.shape for value in use.inputs]
    axis = use.axis(use.attributes["axis"], len(shapes[0]))
    rests = {(value.dtype, len(value.shape), *value.shape[:axis], *value.shape[axis + 1 :]) for value in use.inputs}
    sizes = [size for shape in shapes for size in shape[axis : axis + 1]]
    need(len(rests) == 1 and all(isinstance(size, int) for size in sizes), "cannot join the shapes {}", tuple(shapes))
    return [Value(use.inputs[0].dtype, (*shapes[0][:axis], sum(map(int, sizes)), *shapes[0][axis + 1 :]))]


def squeeze(use: Use) -> list[Value]:
    """Infer a Squeeze of axes of size 1."""
    shape, axes = use.shape(), use.numbers(1)
    gone = {use.axis(axis, len(shape)) for axis in axes}
    need(len(gone) == len(axes) and all(shape[axis] == 1 for axis in gone), "cannot remove axes {} of {}", axes, shape)
    return [Value(use.inputs[0].dtype, tuple(dim for axis, dim in enumerate(shape) if axis not in gone))]


def unsqueeze(use: Use) -> list[Value]:
    """Infer an Unsqueeze of one axis."""
    shape, axes = use.shape(), use.numbers(1)
    need(len(axes) == 1, "must add one axis, not {}", axes)
    axis = use.axis(axes[0], len(shape) + 1)
    return [Value(use.inputs[0].dtype, (*shape[:axis], 1, *shape[axis:]))]


CASTS = ((F16, F32), (I8, F32), (I32, F32), (BOOL, I64), (BOOL, F32))
"""Type of stored or counted values -> type in computations."""


def cast(use: Use) -> list[Value]:
    """Infer a conversion between two types of `CASTS`."""
    need((use.inputs[0].dtype, use.attributes["to"]) in CASTS, "converts between unexpected types")
    return [Value(use.attributes["to"], use.shape(), stands=use.inputs[0].stands)]


def quantize(use: Use) -> list[Value]:
    """Infer 8-bit codes with a constant scale."""
    need(not use.shape(1) and not use.shape(2), "has a scale or zero point that is not a scalar")
    scale = use.inputs[1].numbers
    need(scale is not None and scale[0] > LEAST_SCALE, "has a scale that is not positive")
    return [Value(U8, use.shape(), stands=Stands("codes", float(scale[0]) if scale else 0.0))]


def quantize_as_seen(use: Use) -> list[Value]:
    """Infer 8-bit codes with the scale and zero point that are computed for them."""
    source = object()
    made = ((U8, use.shape(), "codes"), (F32, (), "scale"), (U8, (), "zero"))
    return [Value(dtype, shape, stands=Stands(what, source)) for dtype, shape, what in made]


BLOCK = 16
"""Rows of a column that share a scale in int4."""


def dequantize(use: Use) -> list[Value]:
    """Infer float32 weights from codes in four bits with a scale for each block."""
    codes, scales = use.shape(0), use.shape(1)
    fits = len(codes) == len(scales) == 2 and codes[1] == scales[1]
    need(fits and codes[0] == BLOCK * scales[0], "cannot scale {} by {}", codes, scales)
    return [Value(F32, codes)]


def top_k(use: Use) -> list[Value]:
    """Infer the largest logits of each row and their tokens; the host sets their number."""
    need(len(use.shape()) == 2, "must sort logits")
    kept = (use.shape()[0], KEPT)
    return [Value(F32, kept), Value(I64, kept)]


COLUMNS = (((0,), (1,), (1,)), ((-1,), (2**31 - 1,), (1,)))
"""Start, end and axis of a Slice of the first or last column."""


def slice(use: Use) -> list[Value]:
    """Infer the first or last column."""
    shape = use.shape()
    is_column = len(shape) == 2 and tuple(map(use.numbers, (1, 2, 3))) in COLUMNS
    need(is_column, "must take the first or last column")
    return [Value(use.inputs[0].dtype, (shape[0], 1))]


def running_sum(use: Use) -> list[Value]:
    """Infer the cumulative sum along each row."""
    need(len(use.shape()) == 2 and use.numbers(1) == (1,) and not use.shape(1), "must add up along each row")
    return same(use)


def count(use: Use) -> list[Value]:
    """Infer the sum of each row of integers."""
    need(len(use.shape()) == 2 and use.numbers(1) == (-1,), "must count along each row")
    return [Value(I64, use.shape()[:1])]


def first_largest(use: Use) -> list[Value]:
    """Infer the index of the first largest value of each row."""
    need(len(use.shape()) == 2, "must search along each row")
    return [Value(I64, use.shape()[:1])]
