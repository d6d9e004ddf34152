"""The forms of operators in a cell file, a row of a table for each: exactly those that the exporter writes.

A row defines the numbers of inputs and outputs, their element types, which inputs are constants, the allowed attributes
and values, and the inference of the outputs' shapes. Every size is therefore known before the graph runs, except the
batch axis and the number of candidates that TopK keeps, which only a Slice of one column may read. An operator that is
not in the table, or has another form, is refused: runtimes have crashed on forms that no exporter writes.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from onnx import AttributeProto, NodeProto

from tuirnn.cellfile import inference as infer
from tuirnn.cellfile.contract import TOP_K
from tuirnn.cellfile.inference import Use
from tuirnn.cellfile.values import BOOL, F16, F32, I4, I8, I32, I64, KEPT, MAX_DIM, MAX_RANK, U8, Value, need
from tuirnn.errors import CellFileError, one_line

MAX_PIECES = 256
"""Most inputs of a Concat or outputs of a Split: layers, or steps per call."""

READERS = {"codes": ("MatMulInteger",), "zero": ("MatMulInteger",), "scale": ("Mul",), "scales": ("Mul",),
           "sums": ("Cast", "Mul")}  # fmt: skip
"""Role in a quantization -> operators that may read it. Others could magnify a rounding error without bound."""

Infer = Callable[[Use], list[Value]]


@dataclass(frozen=True)
class Form:
    """The allowed form of an operator.

    Attributes:
        types: allowed element types of each input; the last entry also applies to all further inputs.
        infer: infers the outputs from the inputs; raises CellFileError if they do not fit together.
        inputs: least and largest number; None: the number of `types`.
        outputs: least and largest number.
        constants: inputs that must be stored in the file; those of int64 are small, and `Use.numbers` has them.
        attributes: name -> allowed values.
        required: attributes that must be present.
        parts: parts of a cell that need it, such as `SAMPLER` or `STEP`; empty: every cell may have it.
    """

    types: tuple[tuple[int, ...], ...]
    infer: Infer
    inputs: tuple[int, int] | None = None
    outputs: tuple[int, int] = (1, 1)
    constants: tuple[int, ...] = ()
    attributes: Mapping[str, range | tuple[int, ...]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


SAMPLER, FEWER_BITS, POOLING = "a sampler", "fewer bits", "pooling"
STEP = "that operator in its equations"
"""Parts that not every cell has; `STEP`: the definition of the cell needs the operator."""


def outputs_of(node: NodeProto, values: Mapping[str, Value], parts: Set[str], step: frozenset[str]) -> list[Value]:
    """Infer the outputs of a node after checking it against the table.

    Args:
        node: one operator.
        values: the values so far, by name.
        parts: those of `SAMPLER`, `FEWER_BITS` and `POOLING` that the cell has according to its metadata.
        step: the operators that its definition needs.
    Raises:
        CellFileError: the form is not in the table, or the inputs do not fit together.
    """
    kind = one_line(node.op_type, 40)
    form = FORMS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if form is None:
        raise CellFileError(
            f"it uses the operator '{one_line(node.domain + ':' + node.op_type, 60)}', which no cell has"
        )
    try:
        own = STEP in form.parts and node.op_type in step
        allowed = own or not form.parts or not parts.isdisjoint(form.parts)
        need(allowed, "is only for a cell with {}", " or ".join(form.parts))
        made = form.infer(_use(node, form, values, step))
    except CellFileError as error:
        raise CellFileError(f"its {kind} '{one_line(node.output[0] if node.output else '', 40)}' {error}") from None
    for value in made:
        need(len(value.shape) <= MAX_RANK, "its {} computes a value of {} dimensions", kind, len(value.shape))
        need(
            all(0 < d <= MAX_DIM for d in value.shape if isinstance(d, int)),
            "its {} computes a value of shape {}",
            kind,
            value.shape,
        )
    return made


def _use(node: NodeProto, form: Form, values: Mapping[str, Value], step: frozenset[str]) -> Use:
    least, most = form.inputs or (len(form.types), len(form.types))
    need(least <= len(node.input) <= most, "has {} inputs, expected {} to {}", len(node.input), least, most)
    least, most = form.outputs
    need(least <= len(node.output) <= most, "has {} outputs, expected {} to {}", len(node.output), least, most)
    need("" not in node.input and "" not in node.output, "has an input or output without a name")
    unknown = next((name for name in node.input if name not in values), None)
    need(unknown is None, "reads '{}', which no earlier node computes", unknown)
    inputs = [values[name] for name in node.input]
    for number, value in enumerate(inputs):
        need(
            value.dtype in form.types[min(number, len(form.types) - 1)], "has an input {} of an unexpected type", number
        )
        stored = value.constant and (value.dtype != I64 or value.numbers is not None)
        need(number not in form.constants or stored, "computes input {}, which must be a constant", number)
        need(KEPT not in value.shape or node.op_type == "Slice", "reads a value whose size only the host knows")
        stands = value.stands
        need(stands is None or node.op_type in READERS[stands.what], "reads codes as numbers")
    need(node.op_type != "TopK" or node.input[1] == TOP_K, "must take its k from '{}'", TOP_K)
    return Use(inputs, _attributes(node, form), len(node.output), step)


def _attributes(node: NodeProto, form: Form) -> dict[str, int]:
    found: dict[str, int] = {}
    for attribute in node.attribute:
        name = attribute.name
        need(name in form.attributes and name not in found, "has an unexpected attribute '{}'", name)
        whole = attribute.type == AttributeProto.INT and attribute.HasField("i") and not attribute.HasField("f")
        real = attribute.type == AttributeProto.FLOAT and attribute.HasField("f") and not attribute.HasField("i")
        need(whole or real, "has an attribute '{}' of an unexpected type", name)
        value = attribute.i if whole else attribute.f
        need(value in form.attributes[name], "has {} = {}, which no cell has", name, value)
        found[name] = int(value)
    need(all(name in found for name in form.required), "must have the attributes {}", form.required)
    return found


# ── the table ────────────────────────────────────────────────────────────────────

_AXES = range(-MAX_RANK, MAX_RANK)
_BOTH = ((F32,), (F32,))
_ANY = (F32, F16, I64, I8)

FORMS: dict[str, Form] = {
    "Add": Form(_BOTH, infer.elementwise),
    "Sub": Form(_BOTH, infer.elementwise),
    "Mul": Form(_BOTH, infer.scaled),
    "Div": Form(_BOTH, infer.quotient, parts=(SAMPLER, STEP)),
    "Max": Form(_BOTH, infer.larger, parts=(SAMPLER, STEP, POOLING)),
    "Min": Form(((I64,), (I64,)), infer.elementwise, parts=(SAMPLER,)),
    "Sigmoid": Form(((F32,),), infer.same),
    "Tanh": Form(((F32,),), infer.same),
    "Relu": Form(((F32,),), infer.same),
    "Exp": Form(((F32,),), infer.same, parts=(SAMPLER, STEP)),
    **dict.fromkeys(("Neg", "Abs", "Sqrt", "Atanh"), Form(((F32,),), infer.same, parts=(STEP,))),
    "Greater": Form(_BOTH, infer.compare, parts=(STEP,)),
    "Identity": Form(((F32,),), infer.same),
    "GreaterOrEqual": Form(((F32, I64), (F32, I64)), infer.compare, parts=(SAMPLER,)),
    "LessOrEqual": Form(_BOTH, infer.compare, parts=(SAMPLER,)),
    "Where": Form(((BOOL,), (F32, I64), (F32, I64)), infer.where, parts=(SAMPLER, STEP)),
    "MatMul": Form(_BOTH, infer.matmul),
    "Gemm": Form((*_BOTH, (F32,)), infer.gemm,
                 attributes={"alpha": (1,), "beta": (1,), "transA": (0,), "transB": (0,)}),
    "MatMulInteger": Form(((U8,), (U8,), (U8,), (U8,)), infer.matmul_integer, constants=(1, 3), parts=(FEWER_BITS,)),
    "Gather": Form((_ANY, (I64,)), infer.gather, attributes={"axis": (0,)}),
    "Split": Form(((F32,), (I64,)), infer.split, outputs=(1, MAX_PIECES), constants=(1,),
                  attributes={"axis": _AXES}, required=("axis",)),
    "Concat": Form(((F32, I64),), infer.concat, inputs=(1, MAX_PIECES), attributes={"axis": _AXES}, required=("axis",)),
    "Squeeze": Form(((F32,), (I64,)), infer.squeeze, constants=(1,)),
    "Unsqueeze": Form(((F32, I64), (I64,)), infer.unsqueeze, constants=(1,)),
    "Cast": Form(((F16, I8, I32, BOOL),), infer.cast, attributes={"to": (F32, I64)}, required=("to",)),
    "QuantizeLinear": Form((*_BOTH, (U8,)), infer.quantize, constants=(1, 2), parts=(FEWER_BITS,)),
    "DynamicQuantizeLinear": Form(((F32,),), infer.quantize_as_seen, outputs=(3, 3), parts=(FEWER_BITS,)),
    "DequantizeLinear": Form(((I4,), (F32,)), infer.dequantize, constants=(0, 1),
                             attributes={"axis": (0,), "block_size": (infer.BLOCK,)}, required=("axis", "block_size"),
                             parts=(FEWER_BITS,)),
    "TopK": Form(((F32,), (I64,)), infer.top_k, outputs=(2, 2), attributes={"axis": (-1,)}, parts=(SAMPLER,)),
    "Slice": Form(((F32,), (I64,), (I64,), (I64,)), infer.slice, constants=(1, 2, 3), parts=(SAMPLER,)),
    "CumSum": Form(((F32,), (I64,)), infer.running_sum, constants=(1,), parts=(SAMPLER,)),
    "ReduceSum": Form(((I64,), (I64,)), infer.count, constants=(1,), attributes={"keepdims": (0,)},
                      required=("keepdims",), parts=(SAMPLER,)),
    "ArgMax": Form(((I64,),), infer.first_largest, attributes={"axis": (-1,), "keepdims": (0,)},
                   required=("axis", "keepdims"), parts=(SAMPLER,)),
}  # fmt: skip
"""Operator -> its form in a cell file."""
