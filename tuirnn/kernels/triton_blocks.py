"""Functions that the Triton kernels of all cells call: elementwise functions, tiles, products, the barrier.

`codegen/triton.py` generates the kernels from a cell's definition. A program computes BU units of BB sequences: their
recurrent products and the phases between them, step by step. Programs exchange the operands of products through global
memory. The launch determines how they wait for one another:

    a launch for each product          the end of a launch is the barrier; any number of programs
    one launch for all (PERSISTENT)    `arrive`, `wait` are the barrier; all programs must run at the same time

Without PRODUCT, cuBLAS has computed the product, and the kernel computes only the phase. Values from other programs are
loaded past the L1 cache (".cg"), which does not contain their latest writes.
"""

import triton
import triton.language as tl

# ── functions of cells (cells/functions.py), each in the full range of float32 ────


@triton.jit
def tanh(x):
    """Compute the hyperbolic tangent."""
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def log1p_of_fraction(y):
    """Compute log(1 + y) for 0 ≤ y ≤ 1 by a polynomial; the device's logarithm is inaccurate for small y."""
    p = -3.2439089e-3 * y + 1.9850945e-2
    p = p * y - 5.6958577e-2
    p = p * y + 1.0603560e-1
    p = p * y - 1.5305538e-1
    p = p * y + 1.9675921e-1
    p = p * y - 2.4954130e-1
    p = p * y + 3.3329962e-1
    p = p * y - 4.9999902e-1
    p = p * y + 9.9999999e-1
    return y * p


@triton.jit
def softplus(x):
    """Compute log(1 + e^x)."""
    return tl.where(x < 0, 0.0, x) + log1p_of_fraction(tl.exp(-tl.abs(x)))


@triton.jit
def log_sigmoid(x):
    """Compute −log(1 + e^−x)."""
    return tl.where(x > 0, 0.0, x) - log1p_of_fraction(tl.exp(-tl.abs(x)))


@triton.jit
def expm1(x):
    """Compute e^x − 1; near 0, where the difference would lose digits, by its Taylor polynomial."""
    p = x * (1 / 5040) + 1 / 720
    p = p * x + 1 / 120
    p = p * x + 1 / 24
    p = p * x + 1 / 6
    p = p * x + 1 / 2
    return tl.where(tl.abs(x) < 0.35, p * x * x + x, tl.exp(x) - 1)


@triton.jit
def relu(x):
    """Compute max(0, x); NaN stays NaN."""
    return tl.where(x < 0, 0.0, x)


@triton.jit
def is_positive(x):
    """Compute 1 if x > 0, else 0."""
    return tl.where(x > 0, 1.0, 0.0)


@triton.jit
def maximum(x, y):
    """Compute the larger of two values; NaN if one of them is NaN."""
    return tl.where(x > y, x, tl.where(x == x, y, x))


@triton.jit
def select(condition, x, y):
    """Compute x if the condition is > 0, else y."""
    return tl.where(condition > 0, x, y)


# ── tiles with the columns of several gates ────


@triton.jit
def apart1(x, BB: tl.constexpr, BU: tl.constexpr):
    """Return the columns of one gate [BB, BU] as a tuple."""
    return (x,)


@triton.jit
def apart2(x, BB: tl.constexpr, BU: tl.constexpr):
    """Split the columns of two gates, [BB, 2·BU] -> two [BB, BU]."""
    return tl.split(tl.permute(tl.reshape(x, (BB, 2, BU)), (0, 2, 1)))


@triton.jit
def apart4(x, BB: tl.constexpr, BU: tl.constexpr):
    """Split the columns of four gates, [BB, 4·BU] -> four [BB, BU]."""
    x = tl.permute(tl.reshape(x, (BB, 4, BU)), (0, 2, 1))
    x02, x13 = tl.split(tl.reshape(x, (BB, BU, 2, 2)))
    x0, x2 = tl.split(x02)
    x1, x3 = tl.split(x13)
    return x0, x1, x2, x3


@triton.jit
def apart8(x, BB: tl.constexpr, BU: tl.constexpr):
    """Split the columns of eight gates, [BB, 8·BU] -> eight [BB, BU]."""
    low, high = tl.split(tl.permute(tl.reshape(x, (BB, 2, 4 * BU)), (0, 2, 1)))
    x0, x1, x2, x3 = apart4(low, BB, BU)
    x4, x5, x6, x7 = apart4(high, BB, BU)
    return x0, x1, x2, x3, x4, x5, x6, x7


@triton.jit
def where_more(mask, x, y):
    """Return the mask if x > y, else zeros; compares blocks, since Triton's interpreter makes x > y an integer."""
    return mask & (tl.zeros(mask.shape, tl.int32) + x > y)


# ── the barrier ────


@triton.jit
def arrive(counter):
    """Announce that this program's writes can be read."""
    tl.debug_barrier()  # after the writes of all threads
    tl.atomic_add(counter, 1, sem="release")


@triton.jit
def wait(counter, arrivals):
    """Wait for a number of arrivals at `counter`; afterwards the earlier writes of these programs can be read."""
    while tl.atomic_add(counter, 0, sem="acquire") < arrivals:
        pass
    tl.debug_barrier()


# ── products ────


@triton.jit
def part_of_x(x, stride, b, B, begin, K: tl.constexpr, BK: tl.constexpr, SLICES: tl.constexpr):
    """Load columns from `begin` on of rows b of x [B, K], which other programs write: [(SLICES,) BB, BK]."""
    k = begin + tl.arange(0, BK)
    if SLICES == 1:
        at = x + b[:, None] * stride + k[None, :]
        mask = (b < B)[:, None] & (k < K)[None, :]
    else:
        LONG: tl.constexpr = (K + 16 * SLICES - 1) // (16 * SLICES) * 16
        column = tl.arange(0, SLICES)[:, None] * LONG + k[None, :]
        at = x + b[None, :, None] * stride + column[:, None, :]
        mask = (b < B)[None, :, None] & ((k < LONG)[None, :] & (column < K))[:, None, :]
    return tl.load(at, mask, 0.0, cache_modifier=".cg")


@triton.jit
def part_of_W(W, stride, rows, is_row, begin, K: tl.constexpr, BK: tl.constexpr, SLICES: tl.constexpr):
    """Load the same columns of W's rows, transposed: [(SLICES,) BK, rows]."""
    k = begin + tl.arange(0, BK)
    if SLICES == 1:
        at = W + rows[None, :] * stride + k[:, None]
        mask = (k < K)[:, None] & is_row[None, :]
    else:
        LONG: tl.constexpr = (K + 16 * SLICES - 1) // (16 * SLICES) * 16
        column = tl.arange(0, SLICES)[:, None] * LONG + k[None, :]
        at = W + rows[None, None, :] * stride + column[:, :, None]
        mask = is_row[None, None, :] & ((k < LONG)[None, :] & (column < K))[:, :, None]
    return tl.load(at, mask, 0.0)


@triton.jit
def product(m, x, x_stride, b, B, W, W_stride, kept, rows, is_row, K: tl.constexpr, BK: tl.constexpr,
            SLICES: tl.constexpr, RESIDENT: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Compute m + x[b] W[rows]ᵀ.

    Args:
        m: float32 [BB, rows], the start of the sums.
        x, x_stride: pointer to x [B, K], and the distance of its rows.
        b, B: rows of x [BB], of which those below B exist.
        W, W_stride: pointer to W, and the distance of its rows of K elements.
        kept: the rows of W if RESIDENT.
        rows, is_row: rows of W, and whether they exist.
        K, BK: terms of a sum, and how many are loaded together.
        SLICES: parts of a long sum with few outputs, one for each warp.
        RESIDENT: whether `kept` replaces the loads of W.
        PRECISION: of float32 products: 'tf32' or 'tf32x3'.
    Returns:
        float32 [BB, rows].
    """
    if SLICES == 1:
        part = m
    else:
        part = tl.zeros((SLICES, b.shape[0], rows.shape[0]), tl.float32)
    if RESIDENT:
        xs = part_of_x(x, x_stride, b, B, 0, K, BK, SLICES)
        part = tl.dot(xs, kept, part, input_precision=PRECISION)
    else:
        for begin in range(0, (K + SLICES - 1) // SLICES, BK):
            xs = part_of_x(x, x_stride, b, B, begin, K, BK, SLICES)
            ws = part_of_W(W, W_stride, rows, is_row, begin, K, BK, SLICES)
            part = tl.dot(xs, ws, part, input_precision=PRECISION)
    if SLICES == 1:
        m = part
    else:
        m += tl.sum(part, 0)
    return m
