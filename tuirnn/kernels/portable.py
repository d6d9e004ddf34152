"""The sequence loop in plain tensor operations: any cell, device and dtype.

Only the recurrent product and a few elementwise operations stay in the loop (`inplace`); buffers for all T steps are
allocated once and written in place. States and gates are kept in the accumulation dtype; the operands of the
products are cast to their own dtype, so bfloat16 weights meet float32 states.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from tuirnn.codegen.trace import Traced
from tuirnn.kernels.cache import ForwardCache, Recurrent, SequenceGradients, State, begun
from tuirnn.kernels.inplace import Values, backward_program, column, constants, forward_program, run
from tuirnn.kernels.products import TimesTransposed, times_transposed

BLOCK = 2**16
"""Elements of a gate in steps that are taken together: enough to share between threads, few enough for the cache; and
the views of a long sequence would call the garbage collector."""


def _blocks(T: int, B: int, H: int) -> list[slice]:
    steps = max(1, BLOCK // max(1, B * H))
    return [slice(first, min(first + steps, T)) for first in range(0, T, steps)]


def _places(cell: Traced, trace: ForwardCache, gates: Tensor, runs: Sequence[tuple[int, int]], steps: slice) -> Values:
    """The buffers of some steps by the names of their places, each [t, B, ·]; `gates` [T, B, G·H] holds the columns."""
    H = trace.states[0].shape[-1]
    places = {column(i, j): gates[steps, :, i * H : j * H] for i, j in runs}
    for name, state in zip(cell.state, trace.states, strict=True):
        places |= {f"before {name}": state[:-1][steps], f"after {name}": state[1:][steps]}
    extra = trace.saved[steps]
    return places | {f"extra {name}": extra[..., i * H : (i + 1) * H] for i, name in enumerate(cell.extra)}


def _by_step(places: Values) -> Iterator[Values]:
    """The same, each [B, ·], one step after the other."""
    rows = zip(*(place.unbind(0) for place in places.values()), strict=True)
    return (dict(zip(places, row, strict=True)) for row in rows)


def _by_rows(prepare: Callable[[slice], TimesTransposed], H: int) -> Callable[[tuple[int, int]], TimesTransposed]:
    """Prepare each block of weight_hh's rows, from one gate to before another, when it is first asked for."""
    ready: dict[tuple[int, int], TimesTransposed] = {}

    def product(gates: tuple[int, int]) -> TimesTransposed:
        if gates not in ready:
            ready[gates] = prepare(slice(gates[0] * H, gates[1] * H))
        return ready[gates]

    return product


def forward(
    cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = (), *,
    dtype: torch.dtype | None = None,
) -> ForwardCache:  # fmt: skip
    """As `Kernel.forward`."""
    weight_hh, bias_hh, _ = weights.to(dtype)
    T, B, _ = gx.shape
    H = weight_hh.shape[1]
    made = forward_program(cell)
    trace = ForwardCache(gx, begun(state, T, into), gx.new_empty(T, B, cell.extra_width * H))
    prepared = _by_rows(lambda rows: times_transposed(weight_hh[rows], B), H)
    bias = bias_hh.clone()
    for gate in cell.additive:  # it is in gx already
        bias[cell.recurrent.index(gate) * H :][:H] = 0
    biases = {gates: bias[gates[0] * H : gates[1] * H] for gates in _stages(cell)} if cell.apart else {}

    def times(gates: tuple[int, int], operand: Tensor) -> Tensor:
        return prepared(gates)(operand, biases.get(gates))

    numbers = constants([made.program], gx)
    for steps in _blocks(T, B, H):
        for values in _by_step(_places(cell, trace, gx, made.columns, steps)):
            values.update(numbers)
            run(made.program, values, times)
    return trace


def _stages(cell: Traced) -> list[tuple[int, int]]:
    return [(cell.gates.index(stage.gates[0]), cell.gates.index(stage.gates[-1]) + 1) for stage in cell.stages]


def backward(
    cell: Traced, trace: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State, *,
    dtype: torch.dtype | None = None,
) -> SequenceGradients:  # fmt: skip
    """As `Kernel.backward`."""
    weight_hh = weights.to(dtype).matrix
    T, B, H = dh_all.shape
    made = backward_program(cell)
    prepared = _by_rows(lambda rows: times_transposed(weight_hh[rows].t(), B), H)

    def times(gates: tuple[int, int], operand: Tensor) -> Tensor:
        return prepared(gates)(operand, None)

    numbers = constants([made.factors, made.program], dh_all)
    dgh = trace.room(cell)
    apart = {place: dh_all.new_empty(T, B, H) for _, place in made.apart if place.startswith("apart")}
    norms = dh_all.new_empty(T) if trace.observed else None
    d = {f"d {name}": dlast_.clone() for name, dlast_ in zip(cell.state, dlast, strict=True)}
    for steps in reversed(_blocks(T, B, H)):
        places = _places(cell, trace, dgh, made.columns, steps) | {name: each[steps] for name, each in apart.items()}
        block = {**places, **numbers}
        run(made.factors, block, _no_product)
        read = {name: block[name] for name in made.reads}
        rows = zip(range(T)[steps], dh_all[steps], _by_step(read), strict=True)
        for t, dh_t, values in reversed(list(rows)):
            dh = d["d h"].add_(dh_t)
            if norms is not None:
                norms[t] = torch.linalg.vector_norm(dh)
            values.update(numbers)
            values.update(d)
            run(made.program, values, times)
            d = {name: values[place] for name, place in zip(d, made.results, strict=True)}
    trace.dh_norm = norms
    dgx = _input_gradients(made.apart, apart, trace, dgh, H)
    return SequenceGradients(dgx, dgh, tuple(d.values()), torch.zeros_like(weights.vectors))


def _no_product(gates: tuple[int, int], operand: Tensor) -> Tensor:
    raise AssertionError("factors are elementwise")


def _input_gradients(
    places: Sequence[tuple[int, str]], apart: Values, trace: ForwardCache, dgh: Tensor, H: int
) -> Tensor:
    """Gradients of the input halves [T, B, G·H]: those of the products, but where the halves are not just summed."""
    if not places:
        return dgh
    dgx = dgh.clone()
    for slot, (gate, place) in enumerate(places):
        own = apart[place] if place in apart else trace.saved[..., slot * H : (slot + 1) * H]
        dgx[..., gate * H : (gate + 1) * H] = own
    return dgx
