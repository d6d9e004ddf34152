"""Networks with random weights, for measuring: speed depends on shapes, not on what was learned."""

import numpy as np

from tuirnn.config import ModelConfig
from tuirnn.export.network import Network
from tuirnn.export.weights import Array, LayerWeights, ModelWeights
from tuirnn.vocab import Vocabulary


def random_network(config: ModelConfig, vocab: int = 65, seed: int = 0) -> Network:
    """A network of `vocab` tokens (printable characters and one for the unknown), uniform ±1/√hidden as in PyTorch."""
    rng = np.random.default_rng(seed)
    H, rows = config.hidden, len(config.recurrent.gates) * config.hidden

    def uniform(*shape: int) -> Array:
        return np.asarray(rng.uniform(-1, 1, shape) / np.sqrt(H))

    first = config.embed or vocab
    layers = tuple(
        LayerWeights(uniform(rows, H if i else first), uniform(rows, H), uniform(rows), uniform(rows))
        for i in range(config.layers)
    )
    embedding = rng.normal(size=(vocab, config.embed)) if config.embed else None
    weights = ModelWeights(embedding, layers, None, (8 * uniform(vocab, H), uniform(vocab)))
    symbols = tuple(chr(ord("!") + i) for i in range(vocab - 1))
    return Network(f"{config.cell}-{H}x{config.layers}", config, weights, Vocabulary("char", symbols))
