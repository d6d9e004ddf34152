"""How a sequence is cut in time: what is made of one span of steps is gone when the next begins.

Forward, a span's gates are made and, with `recompute`, dropped; backward they are made again from the state at its
beginning, and its gradients are summed up before the span before it. Long spans keep the products large, short ones
the memory small.
"""

ROWS = {"cpu": (512, 2048, 8192), "cuda": (4096, 8192, 2**40)}
"""Rows (steps times batch) that keep a device's products near their best rate: the fewest with `recompute`, the most
with it, and those without. Measured on the CPU: 512 rows cost a fifth of the rate, 1024 a twelfth, 2048 a twentieth of
what 8192 have; more are no faster. A GPU's kernels run all steps in one launch; without `recompute` nothing is cut
there.
"""


def length(T: int, B: int, memory: str, device: str) -> int:
    """Steps of a span.

    Args:
        T: steps of the sequence.
        B: sequences side by side.
        memory: 'save', 'recompute', or 'none' where there will be no backward pass.
        device: 'cpu' or 'cuda'.
    """
    fewest, most, saving = ROWS.get(device, ROWS["cpu"])
    rows = min(most, max(fewest, T * B // 4)) if memory == "recompute" else saving
    return max(1, min(T, rows // max(1, B)))


def cut(T: int, B: int, memory: str, device: str) -> list[slice]:
    """The spans that cover T steps, each of `length` but for the last."""
    steps = length(T, B, memory, device)
    return [slice(first, min(first + steps, T)) for first in range(0, max(1, T), steps)]


def kept(count: int, memory: str) -> int:
    """How many of the last spans keep their gates from the forward pass.

    With `recompute` a quarter of them and one: backward they come first, while there is no gradient of the input yet,
    which takes as much.
    """
    return {"save": count, "recompute": count // 4 + 1, "none": 0}[memory]


LOGITS_AT_ONCE = 2**23
"""Logits that a wide head makes at a time: products stay near their best rate, and each piece's memory is had again."""


def head_rows(rows: int, outputs: int) -> int:
    """Rows (steps times batch) whose logits a step of training has in memory together; all of a narrow head's.

    Args:
        rows: of the batch.
        outputs: width of the head.
    """
    return rows if rows * outputs <= 2 * LOGITS_AT_ONCE else max(1, LOGITS_AT_ONCE // outputs)
