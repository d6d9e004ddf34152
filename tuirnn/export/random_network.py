"""Networks with random weights, for measuring: speed depends on shapes, not on what was learned."""

import numpy as np

from tuirnn.codegen.trace import traced
from tuirnn.export.network import Network
from tuirnn.export.weights import Array, LayerWeights, ModelWeights
from tuirnn.settings.model import ModelConfig
from tuirnn.vocab import Vocabulary


def random_network(config: ModelConfig, vocab: int | Vocabulary = 65, seed: int = 0) -> Network:
    """A language model with uniform weights ±1/√hidden as in PyTorch.

    Args:
        config: its architecture.
        vocab: what its tokens stand for, or how many there are: printable characters and one for the unknown.
        seed: of the weights.
    """
    rng = np.random.default_rng(seed)
    symbols = vocab if isinstance(vocab, Vocabulary) else Vocabulary("char", _printable(vocab - 1))
    H, V, cell = config.hidden, len(symbols), traced(config.recurrent)
    rows, recurrent = cell.G * H, cell.R * H

    def uniform(*shape: int) -> Array:
        return np.asarray(rng.uniform(-1, 1, shape) / np.sqrt(H))

    first, P = config.embed or V, config.projection
    layers = tuple(
        LayerWeights(
            uniform(rows, H if i else first),
            uniform(recurrent, H),
            uniform(rows),
            uniform(recurrent),
            uniform(len(cell.vectors), H),
        )
        for i in range(config.layers)
    )
    embedding = rng.normal(size=(V, config.embed)) if config.embed else None
    projection = (uniform(P, H), uniform(P)) if P else None
    head = embedding if config.tied and embedding is not None else 8 * uniform(V, P or H)
    weights = ModelWeights(embedding, layers, projection, (head, uniform(V)))
    return Network(f"{config.cell}-{H}x{config.layers}", config, weights, symbols)


def _printable(count: int) -> tuple[str, ...]:
    return tuple(chr(ord("!") + i) for i in range(count))
