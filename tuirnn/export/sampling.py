"""The choice of the next token in the graph: top-k, temperature and one uniform random number per token, in float32.

The rule is that of `tuirnn.runtime.samplers`: the first token at which the cumulative sum of the kept weights exceeds
uniform · total.
"""

import numpy as np
from onnx import TensorProto

from tuirnn.cellfile.contract import FORCED, NEXT, TEMPERATURE, TOP_K, UNIFORM
from tuirnn.codegen.onnx_builder import GraphBuilder

NEVER = np.float32(-1e30)
"""Replaces a logit of minus infinity: weights must be finite."""

COLDEST = np.float32(1e-6)
"""Replaces temperature 0: only the largest logit has a weight."""


def sample(b: GraphBuilder, logits: str, unk: int | None, V: int, row: int | None) -> str:
    """Add the choice of the next token.

    Args:
        b: the graph, whose inputs are top_k [1], temperature [1], uniform, and forced if unrolled.
        logits: name of the logits [B, V].
        unk: the unknown symbol, which is never chosen; None if the vocabulary has none.
        V: vocabulary size.
        row: of `uniform` and `forced` in the unrolled form; None in a single step.
    Returns:
        The name of the tokens [B]; a forced token (≥ 0) replaces the choice.
    """
    x = logits
    if unk is not None:
        x = b.add(x, b.constant("never", np.where(np.arange(V) == unk, NEVER, 0).astype(np.float32)), "allowed")
    best, places = b.prefixed("best", "best_tokens")
    b.op("TopK", x, TOP_K, name=best, outputs=[best, places], axis=-1)  # sorted, the largest first
    greatest, least = _column(b, best, 0, "greatest"), _column(b, best, -1, "least")
    x = b.op("Where", b.op("GreaterOrEqual", x, least, name="keep"), x, b.constant("minus", NEVER), name="kept")
    cool = b.op("Max", TEMPERATURE, b.constant("coldest", COLDEST), name="cool")
    scaled = b.op("Div", b.op("Sub", x, greatest, name="below"), cool, name="scaled")
    running = b.op("CumSum", b.op("Exp", scaled, name="weights"), b.constant("axis1", np.int64(1)), name="running")
    total = _column(b, running, -1, "total")
    uniform = UNIFORM
    if row is not None:
        uniform = b.op("Gather", UNIFORM, b.constant(f"row{row}", np.int64(row)), name="u", axis=0)
    share = b.op("Mul", b.op("Unsqueeze", uniform, b.constant("last", [-1]), name="u_column"), total, name="share")
    passed = b.op("Cast", b.op("LessOrEqual", running, share, name="at_most"), name="passed", to=TensorProto.INT64)
    count = b.op("ReduceSum", passed, b.constant("last", [-1]), name="count", keepdims=0)
    reached = b.op("Cast", b.op("GreaterOrEqual", running, total, name="full"), name="full_codes", to=TensorProto.INT64)
    final = b.op("ArgMax", reached, name="final", axis=-1, keepdims=0)
    if row is None:
        return b.op("Min", count, final, name=NEXT)
    free = b.op("Min", count, final, name="free")
    forced = b.op("Gather", FORCED, b.constant(f"row{row}", np.int64(row)), name="forced", axis=0)
    is_forced = b.op("GreaterOrEqual", forced, b.constant("zero", np.int64(0)), name="is_forced")
    return b.op("Where", is_forced, forced, free, name=NEXT)


def _column(b: GraphBuilder, x: str, at: int, name: str) -> str:
    """Add the first or last column of x [B, N], as [B, 1]."""
    start, end = (b.constant(f"from_{at}", [at]), b.constant(f"to_{at}", [1 if at == 0 else 2**31 - 1]))
    return b.op("Slice", x, start, end, b.constant("last_axis", [1]), name=name)
