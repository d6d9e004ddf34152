"""One step of the network in float64 numpy: the independent answer that every cell file must give."""

import numpy as np

from tuirnn.config import ModelConfig
from tuirnn.export.weights import Array, LayerWeights, ModelWeights

State = list[tuple[Array, ...]]
"""Per layer (h,) or (h, c), each [H]."""


def zero_state(config: ModelConfig) -> State:
    """The state before the first token."""
    names = 2 if config.cell == "lstm" else 1
    return [tuple(np.zeros(config.hidden) for _ in range(names)) for _ in range(config.layers)]


def step(config: ModelConfig, weights: ModelWeights, fed: "int | Array", state: State) -> tuple[Array, State]:
    """Feed one token, or one normalised point [F]; returns the outputs [·] and the next state.

    Equations: `tuirnn.cells`.
    """
    x = _vector(weights, fed) if isinstance(fed, int) else fed
    after: State = []
    for i, (layer, before) in enumerate(zip(weights.layers, state, strict=True)):
        new = _cell(config, layer, x, before)
        after.append(new)
        x = new[0] + x if config.residual and i else new[0]
    for weight, bias in filter(None, (weights.projection, weights.head)):
        x = weight @ x + bias
    return x, after


def _vector(weights: ModelWeights, token: int) -> Array:
    """What stands for a token: its embedding, or a one-hot vector."""
    if weights.embedding is not None:
        return np.asarray(weights.embedding[token])
    return np.asarray(np.eye(weights.layers[0].weight_ih.shape[1])[token])


def _cell(config: ModelConfig, w: LayerWeights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, H = state[0], config.hidden
    gx, gh = w.weight_ih @ x + w.bias_ih, w.weight_hh @ h + w.bias_hh
    if config.cell == "rnn":
        a = gx + gh
        return (np.tanh(a) if config.nonlinearity == "tanh" else np.maximum(a, 0.0),)
    if config.cell == "lstm":
        i, f, g, o = np.split(gx + gh, 4)
        c = _sigmoid(f) * state[1] + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c
    r, z = _sigmoid(gx[:H] + gh[:H]), _sigmoid(gx[H : 2 * H] + gh[H : 2 * H])
    n_rows = slice(2 * H, None)
    if config.reset == "after":
        n = np.tanh(gx[n_rows] + r * gh[n_rows])
    else:
        n = np.tanh(gx[n_rows] + w.weight_hh[n_rows] @ (r * h) + w.bias_hh[n_rows])
    return ((1 - z) * n + z * h,)


def _sigmoid(a: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * a)))
