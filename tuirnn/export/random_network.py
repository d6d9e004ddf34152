"""Networks with random weights, for measurements: speed depends on shapes, not on the weights' values."""

import numpy as np

from tuirnn.codegen.trace import traced
from tuirnn.export.network import Network
from tuirnn.export.weights import Array, LayerWeights, ModelWeights, layer_shapes
from tuirnn.settings.model import ModelConfig
from tuirnn.vocab import Vocabulary


def random_network(config: ModelConfig, vocab: int | Vocabulary = 65, seed: int = 0) -> Network:
    """Return a language model with weights uniform in ±1/√H, as in PyTorch.

    Args:
        config: the architecture.
        vocab: the vocabulary, or its size: printable characters and one unknown symbol.
        seed: of the weights.
    """
    rng = np.random.default_rng(seed)
    if isinstance(vocab, int):
        vocab = Vocabulary("char", tuple(chr(ord("!") + i) for i in range(vocab - 1)))
    H, V, cell = config.hidden, len(vocab), traced(config.recurrent)

    def uniform(*shape: int) -> Array:
        return np.asarray(rng.uniform(-1, 1, shape) / np.sqrt(H))

    first, P = config.embed or V, config.projection
    layers = tuple(
        LayerWeights(**{name: uniform(*shape) for name, shape in layer_shapes(cell, H if i else first, H).items()})
        for i in range(config.layers)
    )
    embedding = rng.normal(size=(V, config.embed)) if config.embed else None  # [V, E]
    projection = (uniform(P, config.top), uniform(P)) if P else None
    head = embedding if config.tied and embedding is not None else 8 * uniform(V, P or config.top)
    weights = ModelWeights(embedding, layers, projection, (head, uniform(V)))
    return Network(f"{config.cell}-{H}x{config.layers}", config, weights, vocab)
