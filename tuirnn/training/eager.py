"""A step of plain PyTorch with its own sampling: what the cell file is measured against."""

from collections.abc import Callable

import torch
from torch import nn

from tuirnn.cells import Cell
from tuirnn.training.torch_layers import peer_layer


def characters(cell: Cell, hidden: int, layers: int, vocab: int, *, embed: int = 128) -> Callable[[int], None]:
    """Writes that many characters, one step each, temperature 0.8, on one thread: see `torch_layers.peer_layer`."""
    torch.set_num_threads(1)
    embedding, head = nn.Embedding(vocab, embed), nn.Linear(hidden, vocab)
    network = peer_layer(cell, embed, hidden, layers)
    token, state = torch.zeros(1, dtype=torch.long), None

    @torch.inference_mode()
    def burst(count: int) -> None:
        nonlocal token, state
        for _ in range(count):
            outputs, state = network(embedding(token)[None], state)
            token = torch.multinomial((head(outputs[0, 0]) / 0.8).softmax(-1), 1)

    return burst
