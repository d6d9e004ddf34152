"""The forms in which a cell may use an operator, one row of a table for each: what the exporter writes, and no more.

A row says how many inputs and outputs there are, their element types, which inputs are constants, which attributes
there may be with which values, and how the shapes of the outputs follow. So every size is known before anything runs,
but for the batch axis and for the number of candidates that TopK keeps, which only a Slice of one column may read.
An operator that is not here, or is used in another way, is refused: runtimes have crashed on forms that nobody writes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onnx import AttributeProto, NodeProto

from tuirnn.cellfile.contract import TOP_K
from tuirnn.cellfile.values import (
    BOOL,
    F16,
    F32,
    FREE,
    I4,
    I8,
    I32,
    I64,
    KEPT,
    MAX_DIM,
    MAX_RANK,
    U8,
    Dim,
    Shape,
    Stands,
    Value,
    need,
)
from tuirnn.errors import CellFileError, one_line

MAX_PIECES = 256
"""Inputs of a Concat, outputs of a Split: layers, or steps in a call."""

MAX_INNER = 2**15
"""Rows of a matrix of 8 bits, so that sums of products of two bytes stay within 32 bits."""

LEAST_SCALE, LEAST_DIVISOR = 1e-30, 1e-7
"""Of a quantization, whose inverse is a number too; of a division, so that rounding does not decide its result."""

READERS = {"codes": ("MatMulInteger",), "zero": ("MatMulInteger",), "scale": ("Mul",), "scales": ("Mul",),
           "sums": ("Cast", "Mul")}  # fmt: skip
"""Who may read such a number. Read by another, one code of rounding could be magnified beyond all bounds."""


@dataclass(frozen=True)
class Use:
    """One node: its inputs, attributes, how many outputs it names, and the operators that the cell's step has."""

    inputs: list[Value]
    attributes: dict[str, int]
    outputs: int
    step: frozenset[str]

    def shape(self, number: int = 0) -> Shape:
        """Of an input."""
        return self.inputs[number].shape

    def numbers(self, number: int) -> tuple[int, ...]:
        """Elements of an input that the table says is a small constant."""
        known = self.inputs[number].numbers
        assert known is not None
        return tuple(map(int, known))

    def axis(self, number: int, rank: int) -> int:
        """An axis as a number from zero."""
        need(-rank <= number < rank, "has axis {} of {}", number, rank)
        return number % rank


Infer = Callable[[Use], list[Value]]


@dataclass(frozen=True)
class Form:
    """How an operator may be used.

    Attributes:
        types: element types that each input may have; a last one that repeats stands for all that follow.
        infer: the outputs, from the inputs; raises CellFileError where they do not fit.
        inputs: fewest and most; None: as many as `types`.
        outputs: fewest and most.
        constants: inputs that must be stored in the file; of int64 they are small, and `Use.numbers` has them.
        attributes: name -> values that it may have.
        required: attributes that must be there.
        parts: those that need it, `SAMPLER`, `FEWER_BITS` or `STEP`; none: every cell may have it.
    """

    types: tuple[tuple[int, ...], ...]
    infer: Infer
    inputs: tuple[int, int] | None = None
    outputs: tuple[int, int] = (1, 1)
    constants: tuple[int, ...] = ()
    attributes: Mapping[str, range | tuple[int, ...]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


SAMPLER, FEWER_BITS, STEP = "a sampler", "fewer bits", "such mathematics"
"""Parts that not every cell has; `STEP` has an operator where the definition of the cell needs it."""


@dataclass(frozen=True)
class Has:
    """What a cell says it has.

    Attributes:
        parts: of `SAMPLER` and `FEWER_BITS`.
        step: the operators that its step is made of, by its definition.
    """

    parts: tuple[str, ...]
    step: frozenset[str]

    def needs(self, kind: str, form: Form) -> bool:
        """Whether it may use an operator."""
        own = STEP in form.parts and kind in self.step
        return not form.parts or own or any(part in form.parts for part in self.parts)


def outputs_of(node: NodeProto, values: Mapping[str, Value], has: Has) -> list[Value]:
    """The values that a node makes, checked against the table.

    Args:
        node: one operator.
        values: everything made so far, by name.
        has: what the cell says it has.
    Raises:
        CellFileError: no form of a cell, or shapes that do not fit together.
    """
    kind = one_line(node.op_type, 40)
    form = FORMS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if form is None:
        raise CellFileError(
            f"it uses the operator '{one_line(node.domain + ':' + node.op_type, 60)}', which no cell needs"
        )
    try:
        need(has.needs(node.op_type, form), "belongs to a cell with {}, which this is not", " or ".join(form.parts))
        made = form.infer(_use(node, form, values, has))
    except CellFileError as error:
        raise CellFileError(f"its {kind} '{one_line(node.output[0] if node.output else '', 40)}' {error}") from None
    for value in made:
        need(len(value.shape) <= MAX_RANK, "its {} makes a value of {} dimensions", kind, len(value.shape))
        need(
            all(0 < d <= MAX_DIM for d in value.shape if isinstance(d, int)),
            "its {} makes a value of shape {}",
            kind,
            value.shape,
        )
    return made


def _use(node: NodeProto, form: Form, values: Mapping[str, Value], has: Has) -> Use:
    least, most = form.inputs or (len(form.types), len(form.types))
    need(least <= len(node.input) <= most, "has {} inputs, a cell's has {} to {}", len(node.input), least, most)
    least, most = form.outputs
    need(least <= len(node.output) <= most, "has {} outputs, a cell's has {} to {}", len(node.output), least, most)
    need("" not in node.input and "" not in node.output, "leaves an input or output without a name")
    unknown = next((name for name in node.input if name not in values), None)
    need(unknown is None, "reads '{}', which nothing before it has made", unknown)
    inputs = [values[name] for name in node.input]
    for number, value in enumerate(inputs):
        need(
            value.dtype in form.types[min(number, len(form.types) - 1)], "has a type that input {} may not have", number
        )
        stored = value.constant and (value.dtype != I64 or value.numbers is not None)
        need(
            number not in form.constants or stored,
            "computes its input {}, which is a constant in every cell",
            number,
        )
        need(KEPT not in value.shape or node.op_type == "Slice", "reads a size that only the host knows")
        stands = value.stands
        need(stands is None or node.op_type in READERS[stands.what], "reads codes as numbers")
    need(node.op_type != "TopK" or node.input[1] == TOP_K, "takes its k from elsewhere than '{}'", TOP_K)
    return Use(inputs, _attributes(node, form), len(node.output), has.step)


def _attributes(node: NodeProto, form: Form) -> dict[str, int]:
    found: dict[str, int] = {}
    for attribute in node.attribute:
        name = attribute.name
        need(name in form.attributes and name not in found, "has an attribute '{}' too many", name)
        whole = attribute.type == AttributeProto.INT and attribute.HasField("i") and not attribute.HasField("f")
        real = attribute.type == AttributeProto.FLOAT and attribute.HasField("f") and not attribute.HasField("i")
        need(whole or real, "has an attribute '{}' of a type that no cell has", name)
        value = attribute.i if whole else attribute.f
        need(value in form.attributes[name], "has {} {}", name, value)
        found[name] = int(value)
    need(all(name in found for name in form.required), "lacks one of {}", form.required)
    return found


# ── how shapes follow ────────────────────────────────────────────────────────────


def broadcast(*shapes: Shape) -> Shape:
    """The common shape; a free batch meets itself or 1."""
    rank = max(map(len, shapes))
    joined: list[Dim] = []
    for dims in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        wide = {dim for dim in dims if dim != 1}
        need(len(wide) < 2, "joins the shapes {}", shapes)
        joined.append(wide.pop() if wide else 1)
    return tuple(joined)


def _same(use: Use) -> list[Value]:
    return [Value(use.inputs[0].dtype, use.shape())]


def _elementwise(use: Use) -> list[Value]:
    need(len({value.dtype for value in use.inputs}) == 1, "mixes types")
    return [Value(use.inputs[0].dtype, broadcast(*(value.shape for value in use.inputs)))]


def _scaled(use: Use) -> list[Value]:
    """A product of two values; sums of codes meet the scale of their own quantization, or one that is stored."""
    result = _elementwise(use)[0]
    for one, other in (use.inputs, use.inputs[::-1]):
        if one.stands is None:
            continue
        if one.stands.what == "scale":
            need(other.constant, "multiplies a scale by something else than the weights' scales")
            return [Value(F32, result.shape, stands=Stands("scales", one.stands.source))]
        if one.stands.what == "sums":
            own = other.stands == Stands("scales", one.stands.source)
            stored = other.constant and isinstance(one.stands.source, float)
            need(own or stored, "multiplies sums of codes by another scale than their own")
            return [result]
        need(other.stands is not None and other.stands.what == "sums", "reads a scale as a number")
    return [result]


def _larger(use: Use) -> list[Value]:
    least = max(value.numbers[0] if value.constant and value.numbers else 0.0 for value in use.inputs)
    return [Value(F32, _elementwise(use)[0].shape, nearest=least)]


def _quotient(use: Use) -> list[Value]:
    """A state or gate may be any number, and so the divisor of a step whose mathematics divides; no other may."""
    divisor = use.inputs[1]
    known = divisor.nearest >= LEAST_DIVISOR or (not divisor.constant and "Div" in use.step)
    need(known, "divides by what may be zero")
    return _elementwise(use)


def _compare(use: Use) -> list[Value]:
    return [Value(BOOL, _elementwise(use)[0].shape)]


def _where(use: Use) -> list[Value]:
    need(use.inputs[1].dtype == use.inputs[2].dtype, "mixes types")
    return [Value(use.inputs[1].dtype, broadcast(*(value.shape for value in use.inputs)))]


def _product(use: Use) -> Shape:
    """x [..., K] times W [K, N]."""
    x, W = use.shape(0), use.shape(1)
    need(len(x) in (2, 3) and len(W) == 2 and FREE not in W and x[-1] == W[0], "multiplies {} by {}", x, W)
    return (*x[:-1], W[1])


def _matmul(use: Use) -> list[Value]:
    return [Value(F32, _product(use))]


def _matmul_integer(use: Use) -> list[Value]:
    inner = use.shape(1)[0] if use.shape(1) else 0
    need(isinstance(inner, int) and inner <= MAX_INNER, "adds up more than 32 bits hold")
    need(not use.shape(2) and not use.shape(3), "has zero points that are no single numbers")
    codes, zero = use.inputs[0].stands, use.inputs[2]
    need(codes is not None and codes.what == "codes", "multiplies something else than codes")
    source = codes and codes.source
    own = zero.stands == Stands("zero", source) or (zero.constant and isinstance(source, float))
    need(own, "takes the zero point of another quantization")
    return [Value(I32, _product(use), stands=Stands("sums", source))]


def _gemm(use: Use) -> list[Value]:
    out = _product(use)
    need(len(out) == 2 and broadcast(use.shape(2), out) == out, "adds {} to {}", use.shape(2), out)
    return [Value(F32, out)]


def _gather(use: Use) -> list[Value]:
    data, indices = use.shape(0), use.shape(1)
    need(len(indices) <= 1 and 1 <= len(data) <= 2, "takes rows {} of {}", indices, data)
    rows = data[0]
    need(isinstance(rows, int), "takes rows of a size that only the host knows")
    known = use.inputs[1].numbers if use.inputs[1].constant else None
    need(known is None or all(0 <= row < int(rows) for row in known), "takes a row that is not there")
    return [Value(use.inputs[0].dtype, (*indices, *data[1:]))]


def _split(use: Use) -> list[Value]:
    shape, sizes = use.shape(), use.numbers(1)
    axis = use.axis(use.attributes["axis"], len(shape))
    whole = len(sizes) == use.outputs and min(sizes) > 0 and sum(sizes) == shape[axis]
    need(whole, "cuts {} into {} pieces of {}", shape, use.outputs, sizes)
    return [Value(use.inputs[0].dtype, (*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]


def _concat(use: Use) -> list[Value]:
    shapes = [value.shape for value in use.inputs]
    axis = use.axis(use.attributes["axis"], len(shapes[0]))
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes if len(shape) == len(shapes[0])}
    sizes = [shape[axis] for shape in shapes if len(shape) == len(shapes[0])]
    fits = len(sizes) == len(shapes) and len(rests) == 1 and len({value.dtype for value in use.inputs}) == 1
    need(fits and all(isinstance(size, int) for size in sizes), "joins the shapes {}", tuple(shapes))
    total = sum(size for size in sizes if isinstance(size, int))
    return [Value(use.inputs[0].dtype, (*shapes[0][:axis], total, *shapes[0][axis + 1 :]))]


def _squeeze(use: Use) -> list[Value]:
    shape, axes = use.shape(), use.numbers(1)
    gone = {use.axis(axis, len(shape)) for axis in axes}
    need(len(gone) == len(axes) and all(shape[axis] == 1 for axis in gone), "takes the axes {} from {}", axes, shape)
    return [Value(use.inputs[0].dtype, tuple(dim for axis, dim in enumerate(shape) if axis not in gone))]


def _unsqueeze(use: Use) -> list[Value]:
    shape, axes = use.shape(), use.numbers(1)
    need(len(axes) == 1, "adds the axes {}", axes)
    axis = use.axis(axes[0], len(shape) + 1)
    return [Value(use.inputs[0].dtype, (*shape[:axis], 1, *shape[axis:]))]


CASTS = ((F16, F32), (I8, F32), (I32, F32), (BOOL, I64), (BOOL, F32))
"""Stored or counted -> computed with."""


def _cast(use: Use) -> list[Value]:
    need((use.inputs[0].dtype, use.attributes["to"]) in CASTS, "converts between types that no cell converts")
    return [Value(use.attributes["to"], use.shape(), stands=use.inputs[0].stands)]


def _quantize(use: Use) -> list[Value]:
    need(not use.shape(1) and not use.shape(2), "has a scale or zero point that is no single number")
    scale = use.inputs[1].numbers
    need(scale is not None and scale[0] > LEAST_SCALE, "has a scale that is not above zero")
    return [Value(U8, use.shape(), stands=Stands("codes", float(scale[0]) if scale else 0.0))]


def _quantize_as_seen(use: Use) -> list[Value]:
    source = object()
    made = ((U8, use.shape(), "codes"), (F32, (), "scale"), (U8, (), "zero"))
    return [Value(dtype, shape, stands=Stands(what, source)) for dtype, shape, what in made]


BLOCK = 16
"""Rows of a column that share a scale in four bits."""


def _dequantize(use: Use) -> list[Value]:
    codes, scales = use.shape(0), use.shape(1)
    fits = len(codes) == len(scales) == 2 and codes[1] == scales[1]
    need(fits and codes[0] == BLOCK * scales[0], "scales {} by {}", codes, scales)
    return [Value(F32, codes)]


def _top_k(use: Use) -> list[Value]:
    need(len(use.shape()) == 2, "sorts something else than logits")
    kept = (use.shape()[0], KEPT)
    return [Value(F32, kept), Value(I64, kept)]


FIRST, LAST = (0, 1), (-1, 2**31 - 1)
"""Start and end of a Slice of one column."""


def _slice(use: Use) -> list[Value]:
    shape = use.shape()
    bounds = (use.numbers(1), use.numbers(2), use.numbers(3))
    need(
        len(shape) == 2 and bounds[2] == (1,) and bounds[:2] in [((a,), (b,)) for a, b in (FIRST, LAST)],
        "takes more than the first or last column",
    )
    return [Value(use.inputs[0].dtype, (shape[0], 1))]


def _running_sum(use: Use) -> list[Value]:
    need(len(use.shape()) == 2 and use.numbers(1) == (1,) and not use.shape(1), "does not add up along each row")
    return _same(use)


def _count(use: Use) -> list[Value]:
    need(len(use.shape()) == 2 and use.numbers(1) == (-1,), "does not count along each row")
    return [Value(I64, use.shape()[:1])]


def _first_largest(use: Use) -> list[Value]:
    need(len(use.shape()) == 2, "does not look along each row")
    return [Value(I64, use.shape()[:1])]


# ── the table ────────────────────────────────────────────────────────────────────

_AXES = range(-MAX_RANK, MAX_RANK)
_BOTH = ((F32,), (F32,))
_ANY = (F32, F16, I64, I8)

FORMS: dict[str, Form] = {
    "Add": Form(_BOTH, _elementwise),
    "Sub": Form(_BOTH, _elementwise),
    "Mul": Form(_BOTH, _scaled),
    "Div": Form(_BOTH, _quotient, parts=(SAMPLER, STEP)),
    "Max": Form(_BOTH, _larger, parts=(SAMPLER, STEP)),
    "Min": Form(((I64,), (I64,)), _elementwise, parts=(SAMPLER,)),
    "Sigmoid": Form(((F32,),), _same),
    "Tanh": Form(((F32,),), _same),
    "Relu": Form(((F32,),), _same),
    "Exp": Form(((F32,),), _same, parts=(SAMPLER, STEP)),
    **dict.fromkeys(("Neg", "Abs", "Sqrt", "Atanh"), Form(((F32,),), _same, parts=(STEP,))),
    "Greater": Form(_BOTH, _compare, parts=(STEP,)),
    "Identity": Form(((F32,),), _same),
    "GreaterOrEqual": Form(((F32, I64), (F32, I64)), _compare, parts=(SAMPLER,)),
    "LessOrEqual": Form(_BOTH, _compare, parts=(SAMPLER,)),
    "Where": Form(((BOOL,), (F32, I64), (F32, I64)), _where, parts=(SAMPLER, STEP)),
    "MatMul": Form(_BOTH, _matmul),
    "Gemm": Form((*_BOTH, (F32,)), _gemm, attributes={"alpha": (1,), "beta": (1,), "transA": (0,), "transB": (0,)}),
    "MatMulInteger": Form(((U8,), (U8,), (U8,), (U8,)), _matmul_integer, constants=(1, 3), parts=(FEWER_BITS,)),
    "Gather": Form((_ANY, (I64,)), _gather, attributes={"axis": (0,)}),
    "Split": Form(((F32,), (I64,)), _split, outputs=(1, MAX_PIECES), constants=(1,),
                  attributes={"axis": _AXES}, required=("axis",)),
    "Concat": Form(((F32, I64),), _concat, inputs=(1, MAX_PIECES), attributes={"axis": _AXES}, required=("axis",)),
    "Squeeze": Form(((F32,), (I64,)), _squeeze, constants=(1,)),
    "Unsqueeze": Form(((F32, I64), (I64,)), _unsqueeze, constants=(1,)),
    "Cast": Form(((F16, I8, I32, BOOL),), _cast, attributes={"to": (F32, I64)}, required=("to",)),
    "QuantizeLinear": Form((*_BOTH, (U8,)), _quantize, constants=(1, 2), parts=(FEWER_BITS,)),
    "DynamicQuantizeLinear": Form(((F32,),), _quantize_as_seen, outputs=(3, 3), parts=(FEWER_BITS,)),
    "DequantizeLinear": Form(((I4,), (F32,)), _dequantize, constants=(0, 1),
                             attributes={"axis": (0,), "block_size": (BLOCK,)}, required=("axis", "block_size"),
                             parts=(FEWER_BITS,)),
    "TopK": Form(((F32,), (I64,)), _top_k, outputs=(2, 2), attributes={"axis": (-1,)}, parts=(SAMPLER,)),
    "Slice": Form(((F32,), (I64,), (I64,), (I64,)), _slice, constants=(1, 2, 3), parts=(SAMPLER,)),
    "CumSum": Form(((F32,), (I64,)), _running_sum, constants=(1,), parts=(SAMPLER,)),
    "ReduceSum": Form(((I64,), (I64,)), _count, constants=(1,), attributes={"keepdims": (0,)}, required=("keepdims",),
                      parts=(SAMPLER,)),
    "ArgMax": Form(((I64,),), _first_largest, attributes={"axis": (-1,), "keepdims": (0,)},
                   required=("axis", "keepdims"), parts=(SAMPLER,)),
}  # fmt: skip
"""Everything a cell file may compute with."""
