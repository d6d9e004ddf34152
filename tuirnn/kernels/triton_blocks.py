"""What the Triton kernels of all cells are built from: functions of blocks, tiles, products, the barrier.

The kernels themselves are written from a cell's definition by `codegen/triton.py`. A program owns BU units of BB
sequences: for these it makes the recurrent products and the elementwise phases between them, step after step. What a
product reads reaches the other programs through global memory. How they wait for each other is the launch's choice, not
the mathematics':

    a launch for each product          the end of a launch is the barrier; any number of programs
    one launch for all (PERSISTENT)    `arrive`, `wait` are the barrier; all programs must be on the device at once

Where PRODUCT is False, cuBLAS has made the product and only the phase after it is left. What programs exchange is
loaded past the L1 cache (".cg"), which does not see what others write.
"""

import triton
import triton.language as tl

# ── functions of a definition (cells/functions.py), each in the full range of float32 ────


@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def log1p_of_fraction(y):
    """log(1 + y) for 0 ≤ y ≤ 1: y times a polynomial; the device's logarithm has few digits where y is small."""
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
    return tl.where(x < 0, 0.0, x) + log1p_of_fraction(tl.exp(-tl.abs(x)))


@triton.jit
def log_sigmoid(x):
    return tl.where(x > 0, 0.0, x) - log1p_of_fraction(tl.exp(-tl.abs(x)))


@triton.jit
def expm1(x):
    """e^x − 1; near 0, where the difference would lose its digits, its Taylor polynomial."""
    p = x * (1 / 5040) + 1 / 720
    p = p * x + 1 / 120
    p = p * x + 1 / 24
    p = p * x + 1 / 6
    p = p * x + 1 / 2
    return tl.where(tl.abs(x) < 0.35, p * x * x + x, tl.exp(x) - 1)


@triton.jit
def relu(x):
    return tl.where(x < 0, 0.0, x)  # a NaN stays one


@triton.jit
def is_positive(x):
    return tl.where(x > 0, 1.0, 0.0)


@triton.jit
def maximum(x, y):
    return tl.where(x > y, x, tl.where(x == x, y, x))  # NaN where one of them is


@triton.jit
def select(condition, x, y):
    return tl.where(condition > 0, x, y)


# ── tiles whose columns are those of some gates beside each other ────


@triton.jit
def apart1(x, BB: tl.constexpr, BU: tl.constexpr):
    """The columns of one gate [BB, BU], in a tuple like those of more."""
    return (x,)


@triton.jit
def apart2(x, BB: tl.constexpr, BU: tl.constexpr):
    """Columns of two gates beside each other [BB, 2·BU] -> each gate's [BB, BU]."""
    return tl.split(tl.permute(tl.reshape(x, (BB, 2, BU)), (0, 2, 1)))


@triton.jit
def apart4(x, BB: tl.constexpr, BU: tl.constexpr):
    """The same of four."""
    x = tl.permute(tl.reshape(x, (BB, 4, BU)), (0, 2, 1))
    x02, x13 = tl.split(tl.reshape(x, (BB, BU, 2, 2)))
    x0, x2 = tl.split(x02)
    x1, x3 = tl.split(x13)
    return x0, x1, x2, x3


@triton.jit
def apart8(x, BB: tl.constexpr, BU: tl.constexpr):
    """The same of eight."""
    low, high = tl.split(tl.permute(tl.reshape(x, (BB, 2, 4 * BU)), (0, 2, 1)))
    x0, x1, x2, x3 = apart4(low, BB, BU)
    x4, x5, x6, x7 = apart4(high, BB, BU)
    return x0, x1, x2, x3, x4, x5, x6, x7


@triton.jit
def where_more(mask, x, y):
    """The mask where x > y, two numbers; as blocks, since Triton's interpreter takes x > y itself for an integer."""
    return mask & (tl.zeros(mask.shape, tl.int32) + x > y)


# ── the barrier ────


@triton.jit
def arrive(counter):
    tl.debug_barrier()  # after the writes of all threads
    tl.atomic_add(counter, 1, sem="release")


@triton.jit
def wait(counter, arrivals):
    """Wait until `counter`'s programs have arrived so many times in sum; then what they wrote before can be read."""
    while tl.atomic_add(counter, 0, sem="acquire") < arrivals:
        pass
    tl.debug_barrier()


# ── products ────


@triton.jit
def part_of_x(x, stride, b, B, begin, K: tl.constexpr, BK: tl.constexpr, SLICES: tl.constexpr):
    """Columns from `begin` on of rows b of x [B, K], which other programs write: [BB, BK], or [SLICES, BB, BK]."""
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
    """The same columns of W's rows, transposed: [BK, rows], or [SLICES, BK, rows]."""
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
    """m + x[b] W[rows]ᵀ, [BB, rows]; in SLICES of the sum, one for each warp, where it is long and has few outputs.

    Rows of x and W, K wide, are `x_stride` and `W_stride` apart.
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
