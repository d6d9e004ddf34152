"""What is known of a value in a cell's graph before anything runs, and how a reason to refuse it is worded."""

from dataclasses import dataclass
from math import prod

from onnx import TensorProto

from tuirnn.errors import CellFileError, one_line

FREE = "batch"
"""Stands for a batch axis without a fixed size."""

KEPT = "top_k"
"""Stands for the number of candidates that TopK keeps: as the host says, at most the vocabulary."""

MAX_RANK = 8
MAX_DIM = 2**27
F32, F16, I64, I32, I8, U8, I4, BOOL = (
    int(kind)
    for kind in (
        TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.INT32, TensorProto.INT8,
        TensorProto.UINT8, TensorProto.INT4, TensorProto.BOOL,
    )
)  # fmt: skip

Dim = int | str
Shape = tuple[Dim, ...]


@dataclass(frozen=True)
class Stands:
    """A number that means something only together with the scale of its quantization.

    Attributes:
        what: 'codes', 'zero' point, 'scale' of the codes, 'sums' of products of codes, or 'scales' of such sums.
        source: the quantization, one object for each.
    """

    what: str
    source: object


@dataclass(frozen=True)
class Value:
    """What is known of a value before anything runs.

    Attributes:
        dtype: an element type of TensorProto.
        shape: numbers, `FREE` or `KEPT`.
        constant: whether it is stored in the file.
        numbers: the elements of a small constant of int64, or of one float32.
        nearest: how near to zero an element may be; 0 where that is not known.
        stands: what the numbers of a quantization are before their own scale has met them, and which quantization.
    """

    dtype: int
    shape: Shape
    constant: bool = False
    numbers: tuple[float, ...] | None = None
    nearest: float = 0.0
    stands: "Stands | None" = None

    @property
    def size(self) -> int:
        """Elements for a batch of one."""
        return prod(dim for dim in self.shape if isinstance(dim, int))


def need(holds: bool, what: str, *parts: object) -> None:
    """Raise CellFileError unless `holds`; `parts` fill the gaps of `what`, shapes and names shown as such."""
    if not holds:
        raise CellFileError(what.format(*map(shown, parts)))


def shown(part: object) -> object:
    if isinstance(part, tuple):
        return f"[{', '.join(map(str, part[:MAX_RANK]))}]"
    return one_line(part, 40) if isinstance(part, str) else part
