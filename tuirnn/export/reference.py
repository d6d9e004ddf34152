"""One step of a network in float64 numpy: the independent reference for every cell file."""

from collections.abc import Sequence

import numpy as np

import tuirnn.codegen.arrays  # noqa: F401  the definitions compute with numpy
from tuirnn.cells import Cell, Parts
from tuirnn.codegen.trace import traced
from tuirnn.export.weights import Array, LayerWeights, ModelWeights
from tuirnn.settings.model import ModelConfig
from tuirnn.vocab import Ids

State = list[tuple[Array, ...]]
"""Per layer the state's parts, h first, each [H]; then the pooled one, if there is one."""


def zero_state(config: ModelConfig) -> State:
    """Return the zero state of every layer and of the pooling."""
    layer = tuple(np.zeros(config.hidden) for _ in config.recurrent.state)
    return [layer] * config.layers + [(np.zeros(config.hidden),)] * config.pools


def step(config: ModelConfig, weights: ModelWeights, fed: "int | Ids | Array", state: State) -> tuple[Array, State]:
    """Compute one step of one sequence, or of B side by side.

    Args:
        config: the architecture.
        weights: float64.
        fed: a token, tokens [B], or a normalised point [F].
        state: before the step.
    Returns:
        The outputs, [N] or [B, N], and the state after the step.
    """
    x = np.asarray(fed)
    if x.dtype.kind == "i":
        x = _vectors(weights, x)
    after: State = []
    for i, (layer, before) in enumerate(zip(weights.layers, state[: config.layers], strict=True)):
        new = _cell(config.recurrent, layer, x, before)
        after.append(new)
        x = new[0] + x if config.residual and i else new[0]
    if config.pools:
        after.append((np.maximum(state[-1][0], x),))
        x = np.concatenate((x, after[-1][0]), -1)
    for weight, bias in filter(None, (weights.projection, weights.head)):
        x = x @ weight.T + bias  # [P], then [N]
    return x, after


def _vectors(weights: ModelWeights, tokens: Ids) -> Array:
    """Return the embeddings of tokens [..., E], or their one-hot vectors [..., V]."""
    if weights.embedding is not None:
        return np.asarray(weights.embedding[tokens])
    return np.asarray(np.eye(weights.layers[0].weight_ih.shape[1])[tokens])


def _cell(cell: Cell, w: LayerWeights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Compute one step of a layer with the cell's definition; returns the state, each [H] or [B, H]."""

    def named(names: Sequence[str], rows: Array, axis: int = 0) -> Parts[Array]:
        return Parts(zip(names, np.split(rows, max(1, len(names)), axis), strict=False))

    recurrent = traced(cell).recurrent
    weight, bias = named(recurrent, w.weight_hh), named(recurrent, w.bias_hh)  # each [H, H], [H]

    def product(operand: Array, gates: str) -> Parts[Array]:
        return Parts({gate: operand @ weight[gate].T + bias[gate] for gate in gates.split()})

    x_gates = named(cell.gates, x @ w.weight_ih.T + w.bias_ih, axis=-1)
    before = Parts(zip(cell.state, state, strict=True))
    after, _ = cell.step(x_gates, before, product, Parts(zip(cell.vectors, w.vectors, strict=True)))
    return tuple(after[name] for name in cell.state)
