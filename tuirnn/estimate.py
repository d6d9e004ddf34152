"""What a training will take, before it starts: parameters, memory, time. Arithmetic only; no torch."""

from collections.abc import Iterable
from dataclasses import dataclass

from tuirnn.config import ModelConfig, RunConfig

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
SAVED = {"rnn": 1, "gru": 5, "lstm": 6}
"""Activations per hidden unit and token that the backward pass needs."""

SYMBOLS = {"char": 100, "byte": 256}
"""Sizes of vocabularies that are not known yet; words have the configured limit."""

COLUMNS = 4
"""Of a series that has not been read yet."""

CPU_RATE = 60e9
"""Floating-point operations a second, where no run of this machine tells."""

BASE_MEMORY = 350e6
"""Bytes that a trainer occupies before it has a network."""


@dataclass(frozen=True)
class Estimate:
    """About what a run takes: trainable numbers, bytes of memory, seconds and steps (0: open)."""

    parameters: int
    memory: float
    seconds: float
    steps: float


def symbols(config: RunConfig) -> int:
    """About how many symbols the vocabulary will have, or how many columns a series."""
    if config.data.task == "forecast":
        return COLUMNS
    return SYMBOLS.get(config.data.tokens, config.data.vocab_size)


def parameters(model: ModelConfig, vocab: int) -> int:
    """Trainable numbers of a network over `vocab` symbols, exactly."""
    H, G = model.hidden, GATES[model.cell]
    total = vocab * model.embed
    for layer in range(model.layers):
        width = H if layer else model.embed or vocab
        total += G * H * (width + H + 2)
    top = model.projection or H
    if model.projection:
        total += (H + 1) * model.projection
    return total + vocab + (0 if model.tied else vocab * top)


def operations(model: ModelConfig, vocab: int) -> float:
    """Floating-point operations of training on one token; the first layer's input half is a look-up."""
    H, G = model.hidden, GATES[model.cell]
    layers = sum(6 * G * H * (H + (H if layer else 0)) for layer in range(model.layers))
    return float(layers + 6 * H * (model.projection or 0) + 6 * (model.projection or H) * vocab)


def rate(runs: Iterable[tuple[RunConfig, int, float]]) -> float:
    """Operations a second of the fastest of some (configuration, vocabulary, tokens a second)."""
    return max((speed * operations(config.model, vocab) for config, vocab, speed in runs), default=0.0) or CPU_RATE


def estimate(config: RunConfig, vocab: int, speed: float) -> Estimate:
    """What a run takes at `speed` operations a second."""
    model, train = config.model, config.train
    count, tokens = parameters(model, vocab), train.batch_size * train.seq_len
    activations = 4.0 * tokens * (SAVED[model.cell] * model.hidden * model.layers + 3 * vocab)
    seconds_a_step = tokens * operations(model, vocab) / speed
    limits = [60 * train.minutes] if train.minutes else []
    limits += [train.step_limit * seconds_a_step] if train.step_limit else []
    seconds = min(limits, default=0.0)
    return Estimate(count, BASE_MEMORY + 16.0 * count + activations, seconds, seconds / seconds_a_step)
