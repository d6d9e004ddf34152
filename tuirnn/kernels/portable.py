"""The kernel in plain tensor operations, for any cell, device and dtype.

Only the recurrent product and what it depends on stay in the time loop (`inplace`); buffers for all T steps are
allocated once and written in place. States and gates have the accumulation dtype; the operands of the products are
cast to their own dtype, so bfloat16 weights multiply float32 states.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from tuirnn.codegen.trace import Traced
from tuirnn.kernels.cache import ForwardCache, Recurrent, SequenceGradients, State, allocate_states
from tuirnn.kernels.inplace import Phases, Times, Values, backward_program, column, forward_program, run
from tuirnn.kernels.products import TimesTransposed, times_transposed

BLOCK = {"cpu": 2**16, "cuda": 2**20}
"""Elements of a gate in a block of steps: enough to divide between threads, few enough for the cache; the views of a
long sequence would trigger the garbage collector. On a GPU the number of calls matters more than the cache."""


def _blocks(T: int, B: int, H: int, device: torch.device) -> list[slice]:
    steps = max(1, BLOCK.get(device.type, BLOCK["cpu"]) // max(1, B * H))
    return [slice(first, min(first + steps, T)) for first in range(0, T, steps)]


def _places(cell: Traced, cache: ForwardCache, gates: Tensor, runs: Sequence[tuple[int, int]], steps: slice) -> Values:
    """Map the places of some steps to their buffers [t, B, ·]; `gates` [T, B, G·H] holds the columns."""
    H = cache.states[0].shape[-1]
    places = {column(i, j): gates[steps, :, i * H : j * H] for i, j in runs}
    for name, state in zip(cell.state, cache.states, strict=True):
        places |= {f"before {name}": state[:-1][steps], f"after {name}": state[1:][steps]}
    extra = cache.extra[steps]
    return places | {f"extra {name}": extra[..., i * H : (i + 1) * H] for i, name in enumerate(cell.extra)}


def _by_step(block: Values, names: Sequence[str], steady: Values, t: int) -> Iterator[Values]:
    """Yield the places of each of t steps [B, ·], and those that no step changes."""
    rows = zip(*(block[name].unbind(0) for name in names), strict=True) if names else iter([()] * t)
    for row in rows:
        yield {**steady, **dict(zip(names, row))}  # noqa: B905  (checking takes as long as the rest)


def _times(prepare: Callable[[slice], TimesTransposed], H: int, bias: Tensor | None = None) -> Times:
    """Return the function of the products; it prepares each block of weight_hh's rows at the first use."""
    ready: dict[tuple[int, int], tuple[TimesTransposed, Tensor | None]] = {}

    def times(rows: tuple[int, int], operand: Tensor) -> Tensor:
        if rows not in ready:
            part = slice(rows[0] * H, rows[1] * H)
            ready[rows] = prepare(part), None if bias is None else bias[part]
        product, part_of_bias = ready[rows]
        return product(operand, part_of_bias)  # [B, K] -> [B, N]

    return times


def _steady(cell: Traced, made: Phases, weights: Recurrent, like: Tensor) -> Values:
    """Compute the places that no step changes: constants, vectors, and values that depend on them alone."""
    values = made.constants(like)
    values |= {f"p {name}": vector for name, vector in zip(cell.vectors, weights.vectors, strict=True)}
    run(made.once, values)
    return values


def forward(cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = ()) -> ForwardCache:
    """Implement `Kernel.forward`."""
    weight_hh, bias_hh, *_ = weights.rounded()
    T, B, H = *gx.shape[:2], state[0].shape[-1]
    made = forward_program(cell)
    cache = ForwardCache(gx, allocate_states(state, T, into), gx.new_empty(T, B, len(cell.extra) * H))
    bias = bias_hh.clone()
    for gate in cell.additive:  # gx includes it
        bias[cell.recurrent.index(gate) * H :][:H] = 0
    times = _times(lambda rows: times_transposed(weight_hh[rows], B), H, bias if cell.non_additive else None)
    steady = _steady(cell, made, weights, gx)
    for steps in _blocks(T, B, H, gx.device):
        block = {**_places(cell, cache, gx, made.columns, steps), **steady}
        run(made.before, block)
        for values in _by_step(block, made.reads, steady, len(gx[steps])):
            run(made.step, values, times)
        run(made.after, block)
    return cache


def backward(cell: Traced, cache: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State) -> SequenceGradients:
    """Implement `Kernel.backward`."""
    weight_hh = weights.rounded().matrix
    T, B, H = dh_all.shape
    made = backward_program(cell)
    times = _times(lambda rows: times_transposed(weight_hh[rows].t(), B), H)
    steady = _steady(cell, made, weights, dh_all)
    dgh, dvectors = cache.gradient_buffer(cell), torch.zeros_like(weights.vectors)
    own = {place: dh_all.new_empty(T, B, H) for _, place in made.split if place.startswith("split")}
    norms = dh_all.new_empty(T) if cache.observed else None
    d = {f"d {name}": dlast_.clone() for name, dlast_ in zip(cell.state, dlast, strict=True)}
    for steps in reversed(_blocks(T, B, H, dh_all.device)):
        dh_block = dh_all[steps]
        block = {**_places(cell, cache, dgh, made.columns, steps), **steady}
        block |= {name: each[steps] for name, each in own.items()}
        block |= {name: torch.empty_like(dh_block) for name in made.stored}
        run(made.before, block)
        rows = zip(range(T)[steps], dh_block, _by_step(block, made.reads, steady, len(dh_block)), strict=True)
        for t, dh_t, values in reversed(list(rows)):
            d["d h"] = torch.add(d["d h"], dh_t, out=values.get("stored d h", d["d h"]))
            if norms is not None:
                norms[t] = torch.linalg.vector_norm(d["d h"])
            values.update(d)
            run(made.step, values, times)
            d = {name: values[place] for name, place in zip(d, made.results, strict=True)}
        run(made.after, block)
        for total, place in zip(dvectors, made.vectors, strict=True):
            if place is not None:
                total += block[place].sum((0, 1))  # [t, B, H] -> [H]
    cache.dh_norm = norms
    dgx = dgh.clone() if made.split else dgh  # of the input halves: those of the products, except for split gates
    for slot, (gate, place) in enumerate(made.split):
        part = own[place] if place in own else cache.extra[..., slot * H : (slot + 1) * H]
        dgx[..., gate * H : (gate + 1) * H] = part
    return SequenceGradients(dgx, dgh, tuple(d.values()), dvectors)
