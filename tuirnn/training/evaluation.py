"""Loss on held-out text under both protocols, samples, and what the network still gets wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tuirnn.kernels.cache import State
from tuirnn.models import SequenceModel
from tuirnn.vocab import Ids, Tokens, Vocabulary

BLOCK = 256
"""Length of the blocks protocol's independent sequences, as nanoGPT's."""

LANES, WARM_UP = 64, 512
"""The carried protocol in training runs this many lanes side by side, each warmed on the tokens before it."""

PIECE, LOGITS_AT_ONCE = 64, 1 << 22
"""Steps, and at most so many logits, that are in memory together: buffers of a few thousand tokens are had again
without fresh pages."""

Check = Callable[[], None]
"""Called between two pieces of long work; it may raise to cut the work short."""


def go_on() -> None:
    """The check that never objects."""


@contextmanager
def evaluating(model: SequenceModel) -> Iterator[None]:
    """Dropout off and no gradients inside; training mode after."""
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread inside: a single sequence has too little work for two, which on a busy machine wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def carried_loss(
    model: SequenceModel,
    ids: Tokens,
    device: torch.device,
    *,
    lanes: int = LANES,
    warm_up: int = WARM_UP,
    check: Check = go_on,
) -> float:
    """Mean nats per token over ids [n], the state carried through.

    The text is cut into `lanes` contiguous pieces that run side by side; each begins with the state that
    `warm_up` tokens before it leave. `lanes=1` is the exact single pass.
    """
    n = len(ids) - 1
    lanes = max(1, min(lanes, n // (2 * warm_up)))
    L = -(-n // lanes)
    starts = np.arange(lanes) * L

    def tokens(steps: range) -> Tensor:
        """What each lane reads at these steps [·, lanes], counted from its first; beyond the text's ends token 0."""
        places = starts + np.array(steps)[:, None]
        inside = (places >= 0) & (places <= n)
        return torch.from_numpy(np.where(inside, ids[places.clip(0, n)], 0).astype(np.int64)).to(device)

    state = model.zero_state(lanes)
    if lanes > 1:
        *_, (_, _, state) = _in_pieces(model, tokens, range(-warm_up, 0), state, check)
        for layer in state:
            for tensor in layer:
                tensor[0] = 0  # the first lane has nothing before it
    total = torch.zeros((), dtype=torch.float64, device=device)
    for steps, logits, _ in _in_pieces(model, tokens, range(L), state, check):
        targets = tokens(range(steps.start + 1, steps.stop + 1))
        counted = torch.from_numpy(np.array(steps)[:, None] + starts < n).to(device)
        total += (_nats(logits, targets) * counted).sum(dtype=torch.float64)
    return float(total) / n


def blocks_loss(
    model: SequenceModel, ids: Tokens, device: torch.device, *, batch: int = 64, check: Check = go_on
) -> float:
    """Mean nats per token over independent blocks of 256 tokens, each from a zero state."""
    length = min(BLOCK, len(ids) - 1)
    blocks = np.arange((len(ids) - 1) // length) * length
    total, count = torch.zeros((), dtype=torch.float64, device=device), 0
    for first in range(0, len(blocks), batch):
        windows = ids[blocks[first : first + batch][None, :] + np.arange(length + 1)[:, None]]
        text = torch.from_numpy(windows.astype(np.int64)).to(device)
        state = model.zero_state(text.shape[1])
        for steps, logits, _ in _in_pieces(model, lambda at: text[at.start : at.stop], range(length), state, check):  # noqa: B023
            total += _nats(logits, text[steps.start + 1 : steps.stop + 1]).sum(dtype=torch.float64)
        count += text[1:].numel()
    return float(total) / count


def _in_pieces(
    model: SequenceModel, tokens: Callable[[range], Tensor], steps: range, state: list[State], check: Check
) -> Iterator[tuple[range, Tensor, list[State]]]:
    """Run over text a few steps at a time: which steps, their logits [·, B, V], the state after them.

    Args:
        tokens: gives what is read at some steps, [·, B].
        steps: all of them.
    """
    length = max(1, min(PIECE, LOGITS_AT_ONCE // (state[0][0].shape[0] * model.head.out_features)))
    for t in range(0, len(steps), length):
        check()
        piece = steps[t : t + length]
        logits, state = model(tokens(piece), state)
        yield piece, logits, state


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none").view(targets.shape)


@one_thread()
def write_sample(
    model: SequenceModel,
    vocab: Vocabulary,
    prime: Ids,
    length: int,
    seed: int,
    device: torch.device,
    *,
    temperature: float = 0.8,
    check: Check = go_on,
) -> str:
    """Text of `length` tokens that the network writes after the tokens `prime` [n], n at least 1; greedy at 0."""
    generator = torch.Generator().manual_seed(seed)
    logits, state = model(torch.from_numpy(prime).to(device)[:, None], model.zero_state(1))
    tokens: list[int] = []
    while len(tokens) < length:
        check()
        scores = logits[-1, 0].float().cpu()
        if scores.isnan().any():
            break  # the weights have diverged; the loss of the next step says so
        if vocab.unk is not None:
            scores[vocab.unk] = -torch.inf
        if temperature:
            tokens.append(int(torch.multinomial((scores / temperature).softmax(0), 1, generator=generator)))
        else:
            tokens.append(int(scores.argmax()))
        logits, state = model(torch.tensor([[tokens[-1]]], device=device), state)
    return vocab.decode(tokens)


@one_thread()
def mistakes(
    model: SequenceModel, vocab: Vocabulary, ids: Tokens, device: torch.device, *, length: int = BLOCK
) -> dict[str, Any]:
    """The first held-out tokens: each symbol, the nats it cost, and the symbol that was expected instead."""
    text = torch.from_numpy(ids[: length + 1].astype(np.int64)).to(device)[:, None]
    logits, _ = model(text[:-1], model.zero_state(1))
    nats = _nats(logits, text[1:])[:, 0]
    guesses = logits[:, 0].argmax(-1)
    return {
        "symbols": [vocab.symbol(int(i)) for i in ids[1 : length + 1]],
        "nats": [round(float(x), 4) for x in nats],
        "guesses": [vocab.symbol(int(i)) for i in guesses],
    }
