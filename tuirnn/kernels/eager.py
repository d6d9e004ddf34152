"""The kernel that calls a cell's definition at every step: slow; the reference of every other kernel."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tuirnn.cells import Parts
from tuirnn.cells.functions import register
from tuirnn.codegen.trace import Traced
from tuirnn.kernels.cache import ForwardCache, Recurrent, SequenceGradients, State, allocate_states


def _as(like: Tensor, value: Tensor | float) -> Tensor:
    """Return a number as a tensor like another: PyTorch would round a number to its default dtype."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=like.dtype, device=like.device)


def _maximum(x: Tensor | float, y: Tensor | float) -> Tensor:
    like = x if isinstance(x, Tensor) else y
    assert isinstance(like, Tensor), "two numbers"
    return torch.maximum(_as(like, x), _as(like, y))


register(
    Tensor,
    {
        "sigmoid": torch.sigmoid,
        "log_sigmoid": torch.nn.functional.logsigmoid,
        "tanh": torch.tanh,
        "exp": torch.exp,
        "expm1": torch.expm1,
        "softplus": lambda x: -torch.nn.functional.logsigmoid(-x),
        "sqrt": torch.sqrt,
        "relu": torch.relu,
        "is_positive": lambda x: (x > 0).to(x.dtype),
        "maximum": _maximum,
        "select": lambda condition, x, y: torch.where(condition > 0, _as(condition, x), _as(condition, y)),
    },
)


def _named(names: Sequence[str], columns: Tensor, dim: int = -1) -> Parts[Tensor]:
    """Split a tensor into equal parts with these names."""
    return Parts(zip(names, columns.chunk(max(1, len(names)), dim), strict=False))


def forward(cell: Traced, gx: Tensor, weights: Recurrent, state: State, into: Sequence[Tensor] = ()) -> ForwardCache:
    """Implement `Kernel.forward`."""
    weights = weights.rounded()
    weight, bias = _named(cell.recurrent, weights.matrix, 0), _named(cell.recurrent, weights.bias)  # [H, H], [H]
    p = Parts(zip(cell.vectors, weights.vectors, strict=True))  # each [H]
    states = allocate_states(state, len(gx), into)
    extra = gx.new_zeros(*gx.shape[:2], len(cell.extra) * state[0].shape[-1])  # [T, B, ·]

    def W(operand: Tensor, gates: str) -> Parts[Tensor]:
        """Return products [B, H], with bias_hh unless gx includes it."""
        found = {gate: (operand.to(weight[gate].dtype) @ weight[gate].t()).to(gx.dtype) for gate in gates.split()}
        return Parts({gate: a if gate in cell.additive else a + bias[gate] for gate, a in found.items()})

    for t in range(len(gx)):
        before = Parts(zip(cell.state, (s[t] for s in states), strict=True))
        after, kept = cell.cell.step(_named(cell.gates, gx[t].clone()), before, W, p)
        for name, buffer in zip(cell.state, states, strict=True):
            buffer[t + 1] = after[name]
        for name, place in _named(cell.gates, gx[t]).items():
            if name in kept:
                place.copy_(_as(place, kept[name]))
        for name, place in _named(cell.extra, extra[t]).items():
            place.copy_(_as(place, kept[name]))
    return ForwardCache(gx, states, extra)


def backward(cell: Traced, cache: ForwardCache, weights: Recurrent, dh_all: Tensor, dlast: State) -> SequenceGradients:
    """Implement `Kernel.backward`; does not overwrite the gates."""
    weight = _named(cell.recurrent, weights.rounded().matrix, 0)
    p = Parts(zip(cell.vectors, weights.vectors, strict=True))
    T, B, H = dh_all.shape
    dgx, dgh, norms = dh_all.new_zeros(T, B, cell.G * H), dh_all.new_zeros(T, B, cell.G * H), dh_all.new_empty(T)
    dvectors = torch.zeros_like(weights.vectors)

    def whole(value: Tensor | float) -> Tensor:
        """Return a gradient as a tensor [B, H], also if it is a number such as 0."""
        return _as(dh_all, value).expand(B, H)

    def Wt(**gradients: Tensor) -> Tensor:
        operands = {gate: whole(gradient).to(weight[gate].dtype) for gate, gradient in gradients.items()}
        return torch.stack([(d @ weight[gate]).to(dh_all.dtype) for gate, d in operands.items()]).sum(0)

    d = Parts(zip(cell.state, dlast, strict=True))
    for t in reversed(range(T)):
        d = Parts({**d, cell.state[0]: d[cell.state[0]] + dh_all[t]})
        norms[t] = torch.linalg.vector_norm(d[cell.state[0]])
        kept = Parts({name: value for name, value in _named(cell.gates, cache.gates[t]).items() if name in cell.kept})
        kept.update(_named(cell.extra, cache.extra[t]))
        before, after = (Parts(zip(cell.state, (s[at] for s in cache.states), strict=True)) for at in (t, t + 1))
        d, x, gates, vectors = cell.cell.step_backward(d, kept, before, after, Wt, p)
        for name, place in _named(cell.gates, dgx[t]).items():
            place.copy_(whole(x[name]))
        for name, place in _named(cell.gates, dgh[t]).items():
            if name in cell.recurrent:
                place.copy_(whole((x if gates is None else gates)[name]))
        for name, place in zip(cell.vectors, dvectors, strict=True):
            place += whole((vectors or Parts())[name]).sum(0)
        d = Parts({name: whole(d[name]) for name in cell.state})
    cache.dh_norm = norms
    return SequenceGradients(dgx, dgh, tuple(d[name] for name in cell.state), dvectors)
