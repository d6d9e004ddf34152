"""What is known about a value of a cell's graph before the graph runs, and the text of reasons to refuse it."""

from dataclasses import dataclass
from math import prod

from onnx import TensorProto

from tuirnn.errors import CellFileError, one_line

FREE = "batch"
"""The size of a dynamic batch axis."""

KEPT = "top_k"
"""The number of candidates that TopK keeps: an input of the host, at most the vocabulary size."""

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
    """The role of a value that is meaningful only together with the scale of its quantization.

    Attributes:
        what: 'codes', 'zero' point, 'scale' of the codes, 'sums' of products of codes, or 'scales' of such sums.
        source: the quantization; each has an object of its own.
    """

    what: str
    source: object


@dataclass(frozen=True)
class Value:
    """What is known about a value before the graph runs.

    Attributes:
        dtype: an element type of TensorProto.
        shape: sizes, `FREE` or `KEPT`.
        constant: whether it is stored in the file.
        numbers: the elements of a small int64 constant, or of a single float32.
        nearest: least absolute value of an element; 0 if unknown.
        stands: its role in a quantization, until it is multiplied by the quantization's scale.
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
    """Raise CellFileError unless a condition holds.

    Args:
        holds: the condition.
        what: text of the error, with {} for each part.
        parts: names, shapes or numbers.
    """
    if not holds:
        raise CellFileError(what.format(*map(shown, parts)))


def shown(part: object) -> object:
    """Return a part of an error's text: shapes as [2, 3], names on one line and shortened."""
    if isinstance(part, tuple):
        return f"[{', '.join(map(str, part[:MAX_RANK]))}]"
    return one_line(part, 40) if isinstance(part, str) else part
