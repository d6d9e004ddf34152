"""The cells as Triton kernels: the recurrent product and the gates of `cells` in one, for one step or for all of them.

Letters as in `cells`. A program owns BU units of BB sequences: for these it makes the recurrent product, the gates and
the new state, step after step. Every program's h (forward) or dgh (backward) reaches the others through global memory
between two steps. How they wait for each other is the launch's choice, not the mathematics':

    one launch a step                  the end of a launch is the barrier; any number of programs
    one launch for all (PERSISTENT)    `_arrive`, `_wait` are the barrier; all programs must be on the device at once

Where PRODUCT is False, cuBLAS has made the step's product and only the gates are left. What programs exchange is loaded
past the L1 cache (".cg"), which does not see what others write.
"""

import triton
import triton.language as tl

RNN_TANH, RNN_RELU, LSTM, GRU = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)
STEPS = ["t0", "t1"]
"""Arguments that one compilation has to do for."""


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _four(x, BB: tl.constexpr, BU: tl.constexpr):
    """Columns of four gates beside each other [BB, 4·BU] -> each gate's [BB, BU]."""
    x = tl.permute(tl.reshape(x, (BB, 4, BU)), (0, 2, 1))
    x02, x13 = tl.split(tl.reshape(x, (BB, BU, 2, 2)))
    x0, x2 = tl.split(x02)
    x1, x3 = tl.split(x13)
    return x0, x1, x2, x3


@triton.jit
def _arrive(counter):
    tl.debug_barrier()  # after the writes of all threads
    tl.atomic_add(counter, 1, sem="release")


@triton.jit
def _wait(counter, arrivals):
    """Wait until `counter`'s programs have arrived so many times in sum; then what they wrote before can be read."""
    while tl.atomic_add(counter, 0, sem="acquire") < arrivals:
        pass
    tl.debug_barrier()


@triton.jit
def _part_of_x(x, b, B, begin, K: tl.constexpr, BK: tl.constexpr, SLICES: tl.constexpr):
    """Columns from `begin` on of rows b of x [B, K], which other programs write: [BB, BK], or [SLICES, BB, BK]."""
    k = begin + tl.arange(0, BK)
    if SLICES == 1:
        at = x + b[:, None] * K + k[None, :]
        mask = (b < B)[:, None] & (k < K)[None, :]
    else:
        LONG: tl.constexpr = (K + 16 * SLICES - 1) // (16 * SLICES) * 16
        column = tl.arange(0, SLICES)[:, None] * LONG + k[None, :]
        at = x + b[None, :, None] * K + column[:, None, :]
        mask = (b < B)[None, :, None] & ((k < LONG)[None, :] & (column < K))[:, None, :]
    return tl.load(at, mask, 0.0, cache_modifier=".cg")


@triton.jit
def _part_of_W(W, rows, is_row, begin, K: tl.constexpr, BK: tl.constexpr, SLICES: tl.constexpr):
    """The same columns of W's rows, transposed: [BK, rows], or [SLICES, BK, rows]."""
    k = begin + tl.arange(0, BK)
    if SLICES == 1:
        at = W + rows[None, :] * K + k[:, None]
        mask = (k < K)[:, None] & is_row[None, :]
    else:
        LONG: tl.constexpr = (K + 16 * SLICES - 1) // (16 * SLICES) * 16
        column = tl.arange(0, SLICES)[:, None] * LONG + k[None, :]
        at = W + rows[None, None, :] * K + column[:, :, None]
        mask = is_row[None, None, :] & ((k < LONG)[None, :] & (column < K))[:, :, None]
    return tl.load(at, mask, 0.0)


@triton.jit
def _product(m, x, b, B, W, kept, rows, is_row, K: tl.constexpr, BK: tl.constexpr, SLICES: tl.constexpr,
             RESIDENT: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """m + x[b] W[rows]ᵀ, [BB, rows]; in SLICES of the sum, one for each warp, where it is long and has few outputs."""
    if SLICES == 1:
        part = m
    else:
        part = tl.zeros((SLICES, b.shape[0], rows.shape[0]), tl.float32)
    if RESIDENT:
        part = tl.dot(_part_of_x(x, b, B, 0, K, BK, SLICES), kept, part, input_precision=PRECISION)
    else:
        for begin in range(0, (K + SLICES - 1) // SLICES, BK):
            xs = _part_of_x(x, b, B, begin, K, BK, SLICES)
            ws = _part_of_W(W, rows, is_row, begin, K, BK, SLICES)
            part = tl.dot(xs, ws, part, input_precision=PRECISION)
    if SLICES == 1:
        m = part
    else:
        m += tl.sum(part, 0)
    return m


@triton.jit(do_not_specialize=STEPS)
def forward(a, W, bias, ring, h, c, q, made, counters, t0, t1, B, H: tl.constexpr, CELL: tl.constexpr, G: tl.constexpr,
            BB: tl.constexpr, BU: tl.constexpr, BK: tl.constexpr, SLICES: tl.constexpr, PRODUCT: tl.constexpr,
            PERSISTENT: tl.constexpr, RESIDENT: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Steps t0 to t1 − 1.

    The gates stand beside each other in a tile's columns, so that one product makes them all: i f g o of an LSTM; of a
    GRU r, z, q and gx_n, which meets no weights.

    Args:
        a: [T, B, G·H], gx before and the gates' activations after.
        W: weight_hh [G·H, H].
        bias: bias_hh [G·H] of a GRU.
        ring: [2, B, H] in W's dtype, h for the products: step t reads t % 2 and writes the other.
        h, c: [T+1, B, H] float32, filled up to t0.
        q: [T, B, H], receives a GRU's q.
        made: without PRODUCT, h weight_hhᵀ of step t0 [B, G·H].
        counters: zeros, one for each BB sequences.
    """
    WIDTH: tl.constexpr = BU if G == 1 else 4 * BU
    j = tl.arange(0, WIDTH)
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    u = tl.program_id(0) * BU + tl.arange(0, BU)
    gate, unit = j // BU, tl.program_id(0) * BU + j % BU
    from_W = (gate < G) & (unit < H)
    from_x = (gate != 2 if CELL == GRU else gate < G) & (unit < H)
    W_row = gate * H + unit
    x_column = tl.where(gate == 3, 2, gate) * H + unit if CELL == GRU else W_row
    inside = (b < B)[:, None] & (u < H)[None, :]
    own = b[:, None] * H + u[None, :]  # in a [B, H]
    own_a = b[:, None] * (G * H) + u[None, :]  # in a [B, G·H], the first gate
    first = tl.zeros((BB, WIDTH), tl.float32)
    if CELL == GRU:
        first += tl.load(bias + W_row, from_W, 0.0)[None, :]
    kept = first  # of W, where it stays on the chip
    if RESIDENT:
        kept = _part_of_W(W, W_row, from_W, 0, H, BK, SLICES)
    xs = a + b[:, None] * (G * H) + x_column[None, :]
    is_x = (b < B)[:, None] & from_x[None, :]
    t = t0
    x = tl.load(xs + t.to(tl.int64) * (B * G * H), is_x, 0.0)
    while t < t1:
        step = t.to(tl.int64) * B
        m = first + x.to(tl.float32)
        if CELL == LSTM:
            c_before = tl.load(c + step * H + own, inside, 0.0)
        if CELL == GRU:
            h_before = tl.load(h + step * H + own, inside, 0.0)
        if PRODUCT:
            h_t = ring + (t % 2) * (B * H)
            m = _product(m, h_t, b, B, W, kept, W_row, from_W, H, BK, SLICES, RESIDENT, PRECISION)
        else:
            to_add = tl.load(made + b[:, None] * (G * H) + W_row[None, :], (b < B)[:, None] & from_W[None, :], 0.0)
            m += to_add.to(tl.float32)
        if CELL == RNN_TANH:
            h_after = _tanh(m)
        elif CELL == RNN_RELU:
            h_after = tl.where(m < 0, 0.0, m)  # a NaN stays one
        elif CELL == LSTM:
            i, f, g, o = _four(m, BB, BU)
            i, f, g, o = tl.sigmoid(i), tl.sigmoid(f), _tanh(g), tl.sigmoid(o)
            c_after = f * c_before + i * g
            h_after = o * _tanh(c_after)
            at = a + step * (G * H) + own_a
            tl.store(at, i, inside)
            tl.store(at + H, f, inside)
            tl.store(at + 2 * H, g, inside)
            tl.store(at + 3 * H, o, inside)
            tl.store(c + (step + B) * H + own, c_after, inside)
        else:
            r, z, qn, n = _four(m, BB, BU)
            r, z = tl.sigmoid(r), tl.sigmoid(z)
            n = _tanh(n + r * qn)
            h_after = n + z * (h_before - n)
            at = a + step * (G * H) + own_a
            tl.store(at, r, inside)
            tl.store(at + H, z, inside)
            tl.store(at + 2 * H, n, inside)
            tl.store(q + step * H + own, qn, inside)
        tl.store(ring + ((t + 1) % 2) * (B * H) + own, h_after, inside)
        tl.store(h + (step + B) * H + own, h_after, inside)
        t += 1
        if PERSISTENT:
            _arrive(counters + tl.program_id(1))
            x = tl.load(xs + t.to(tl.int64) * (B * G * H), is_x & (t < t1), 0.0)  # comes while others are waited for
            _wait(counters + tl.program_id(1), (t - t0) * tl.num_programs(0))


@triton.jit(do_not_specialize=STEPS)
def backward(a, Wt, dgh, dgx, dh_all, dh_carry, dc_carry, h, c, q, made, squares, counters, t0, t1, B, H: tl.constexpr,
             CELL: tl.constexpr, G: tl.constexpr, BB: tl.constexpr, BU: tl.constexpr, BK: tl.constexpr,
             SLICES: tl.constexpr, PRODUCT: tl.constexpr, PERSISTENT: tl.constexpr, RESIDENT: tl.constexpr,
             PRECISION: tl.constexpr):  # fmt: skip
    """Steps t1 − 1 down to t0.

    Args:
        a, h, c, q: as `forward` left them.
        Wt: weight_hhᵀ [H, G·H].
        dgh: [T+1, B, G·H] in W's dtype; the product of step t reads dgh[t+1], dgh[T] are zeros.
        dgx: [T, B, G·H], written for a GRU; other cells' is dgh.
        dh_all: [T, B, H] float32.
        dh_carry, dc_carry: [B, H] float32, what reaches the state beside the product: at first the last state's
            gradients, in the end the first state's.
        made: without PRODUCT, dgh[t1] weight_hh [B, H].
        squares: [T, programs], receives each program's sum of dh².
        counters: zeros, one for each BB sequences.
    """
    K: tl.constexpr = G * H
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    u = tl.program_id(0) * BU + tl.arange(0, BU)
    inside = (b < B)[:, None] & (u < H)[None, :]
    own = b[:, None] * H + u[None, :]
    own_a = b[:, None] * K + u[None, :]
    j = tl.arange(0, 4 * BU)
    gate, unit = j // BU, tl.program_id(0) * BU + j % BU
    gates = b[:, None] * K + (gate * H + unit)[None, :]
    are_gates = (b < B)[:, None] & ((gate < G) & (unit < H))[None, :]
    program = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    kept = u
    if RESIDENT:
        kept = _part_of_W(Wt, u, u < H, 0, K, BK, SLICES)
    t = t1 - 1
    x = tl.load(a + t.to(tl.int64) * (B * K) + gates, are_gates, 0.0)
    while t >= t0:
        step = t.to(tl.int64) * B
        if CELL == LSTM:
            c_before = tl.load(c + step * H + own, inside, 0.0)
            c_after = tl.load(c + (step + B) * H + own, inside, 0.0)
            dc = tl.load(dc_carry + own, inside, 0.0)
        elif CELL == GRU:
            h_before = tl.load(h + step * H + own, inside, 0.0)
            qn = tl.load(q + step * H + own, inside, 0.0).to(tl.float32)
        else:
            h_after = tl.load(h + (step + B) * H + own, inside, 0.0)
        dh = tl.load(dh_all + step * H + own, inside, 0.0) + tl.load(dh_carry + own, inside, 0.0)
        if PRODUCT:
            d_t = dgh + (step + B) * K
            dh = _product(dh, d_t, b, B, Wt, kept, u, u < H, K, BK, SLICES, RESIDENT, PRECISION)
        else:
            dh += tl.load(made + own, inside, 0.0).to(tl.float32)
        to = dgh + step * K + own_a
        if CELL == LSTM:
            i, f, g, o = _four(x.to(tl.float32), BB, BU)
            tanh_c = _tanh(c_after)
            dc += dh * o * (1 - tanh_c * tanh_c)
            tl.store(to, dc * g * i * (1 - i), inside)
            tl.store(to + H, dc * c_before * f * (1 - f), inside)
            tl.store(to + 2 * H, dc * i * (1 - g * g), inside)
            tl.store(to + 3 * H, dh * tanh_c * o * (1 - o), inside)
            tl.store(dc_carry + own, dc * f, inside)
            tl.store(dh_carry + own, tl.zeros_like(dh), inside)
        elif CELL == GRU:
            r, z, n, _ = _four(x.to(tl.float32), BB, BU)
            v = dh * (1 - z) * (1 - n * n)
            dr, dz = v * qn * r * (1 - r), dh * (h_before - n) * z * (1 - z)
            tl.store(to, dr, inside)
            tl.store(to + H, dz, inside)
            tl.store(to + 2 * H, v * r, inside)
            to_x = dgx + step * K + own_a
            tl.store(to_x, dr, inside)
            tl.store(to_x + H, dz, inside)
            tl.store(to_x + 2 * H, v, inside)
            tl.store(dh_carry + own, dh * z, inside)
        else:
            if CELL == RNN_TANH:
                tl.store(to, dh * (1 - h_after * h_after), inside)
            else:
                tl.store(to, tl.where(h_after > 0, dh, 0.0), inside)
            tl.store(dh_carry + own, tl.zeros_like(dh), inside)
        seen = tl.where(inside, dh, 0.0)
        tl.store(squares + t * (tl.num_programs(0) * tl.num_programs(1)) + program, tl.sum(seen * seen))
        t -= 1
        if PERSISTENT:
            _arrive(counters + tl.program_id(1))
            x = tl.load(a + t.to(tl.int64) * (B * K) + gates, are_gates & (t >= t0), 0.0)
            _wait(counters + tl.program_id(1), (t1 - 1 - t) * tl.num_programs(0))
