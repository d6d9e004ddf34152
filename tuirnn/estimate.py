"""What a training will take, before it starts: parameters, memory, time. Arithmetic only; no torch."""

from collections.abc import Iterable
from dataclasses import dataclass

from tuirnn import spans
from tuirnn.codegen.trace import traced
from tuirnn.config import ModelConfig, RunConfig, TrainConfig

SYMBOLS = {"char": 100, "byte": 256}
"""Sizes of vocabularies that are not known yet; words have the configured limit."""

COLUMNS = 4
"""Of a series that has not been read yet."""

CPU_RATE = 60e9
"""Floating-point operations a second, where no run of this machine tells."""

BASE_MEMORY = 350e6
"""Bytes that a trainer occupies before it has a network: Python, PyTorch, the data of an ordinary text."""

EVALUATED = 64 * 64
"""Rows of held-out text that are read at once: lanes times steps."""

WRITTEN = 2.0
"""Copies of what lasts while a checkpoint is written: what a step has freed stays the process's, and is not enough."""

SLOTS = {"adam": 2, "adamw": 2, "rmsprop": 1, "sgd": 0}
"""Numbers that an optimizer keeps for each parameter."""


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


def parameters(model: ModelConfig, vocab: int, outputs: int | None = None) -> int:
    """Trainable numbers of a network over `vocab` symbols, exactly; `outputs` None: as many as symbols."""
    outputs = vocab if outputs is None else outputs
    H, G = model.hidden, len(model.recurrent.gates)
    total = vocab * model.embed
    for layer in range(model.layers):
        width = H if layer else model.embed or vocab
        total += G * H * (width + H + 2)
    top = model.projection or H
    if model.projection:
        total += (H + 1) * model.projection
    return total + outputs + (0 if model.tied else outputs * top)


def operations(model: ModelConfig, vocab: int) -> float:
    """Floating-point operations of training on one token; the first layer's input half is a look-up."""
    H, G = model.hidden, len(model.recurrent.gates)
    layers = sum(6 * G * H * (H + (H if layer else 0)) for layer in range(model.layers))
    return float(layers + 6 * H * (model.projection or 0) + 6 * (model.projection or H) * vocab)


def rate(runs: Iterable[tuple[RunConfig, int, float]]) -> float:
    """Operations a second of the fastest of some (configuration, vocabulary, tokens a second)."""
    return max((speed * operations(config.model, vocab) for config, vocab, speed in runs), default=0.0) or CPU_RATE


def step_memory(config: RunConfig, inputs: int, outputs: int, device: str = "cpu") -> float:
    """Bytes that a training step takes at its peak, beyond weights, their gradients and the optimizer's numbers.

    Args:
        config: every setting.
        inputs: tokens, or columns of a series.
        outputs: what the network answers with at each step.
        device: 'cpu' or 'cuda'.
    """
    model, train = config.model, config.train
    T, H, L, wide = train.seq_len, model.hidden, model.layers, _bytes(train)
    lanes = max(1, -(-train.batch_size // (train.accumulate * train.processes)))
    cell = traced(model.recurrent)
    G, extra, states = cell.G, cell.extra_width, len(cell.state)  # buffers of H that a step keeps
    unit = wide * T * lanes * H  # a buffer of all steps
    steps = spans.length(T, lanes, train.memory, device)
    span, count = unit * steps / T, -(-T // steps)  # a buffer of one span, and how many there are
    share = spans.kept(count, train.memory) / count
    gates = unit * share * (G + extra) if cell.keeps_gates else 0.0
    masks = T * lanes * H + unit if model.dropout else unit * (model.residual and L > 1)
    stays = L * (states * unit + gates + masks) + wide * T * lanes * model.projection
    logits = 4 * T * lanes * outputs
    read_gradient = unit if L > 1 else 0
    beside = (not cell.keeps_gates or extra > 0) + (device != "cpu" and cell.keeps_gates)  # where not over activations
    making = span * G * beside
    again = span * (G + extra + states) + read_gradient - gates
    made_again = 0.0 if share == 1 or not cell.keeps_gates else again  # later than the kept gates, which have gone
    backward = unit + making + max(read_gradient * span / unit, made_again)
    table = 2 * wide * G * H * inputs if model.embed == 0 or inputs <= T * lanes else 0
    matrices = wide * G * H * max(H, model.embed)  # a product before it is added up
    return float(stays + max(3 * logits, backward + table + matrices))


def look_memory(config: RunConfig, inputs: int, outputs: int) -> float:
    """Bytes that an evaluation takes at its peak, roughly."""
    model, wide, cell = config.model, _bytes(config.train), traced(config.model.recurrent)
    span = spans.length(EVALUATED, 1, "none", "cpu")
    gates = wide * span * model.hidden * (cell.G + cell.extra_width + 1)
    return float(3 * wide * EVALUATED * model.hidden + gates) + 3 * 4 * min(EVALUATED * outputs, 1 << 22)


def memory(config: RunConfig, inputs: int, outputs: int, device: str = "cpu") -> float:
    """Bytes that each process of a run takes at its peak; on a GPU, of the GPU's memory."""
    train = config.train
    weights = _bytes(train) * parameters(config.model, inputs, outputs)
    lasting = weights * (1 + SLOTS[train.optimizer] + (train.momentum > 0))
    gradients = weights * (2 if train.processes > 1 else 1)  # and once more on their way between processes
    peak = gradients + max(step_memory(config, inputs, outputs, device), look_memory(config, inputs, outputs))
    if device != "cpu":
        return lasting + peak
    return BASE_MEMORY + lasting + peak + WRITTEN * lasting


def _bytes(train: TrainConfig) -> float:
    """Of a number."""
    return 8.0 if train.dtype == "float64" else 4.0


def estimate(config: RunConfig, vocab: int, speed: float) -> Estimate:
    """What a run takes at `speed` operations a second."""
    model, train = config.model, config.train
    count, tokens = parameters(model, vocab), train.batch_size * train.seq_len
    seconds_a_step = tokens * operations(model, vocab) / speed
    limits = [60 * train.minutes] if train.minutes else []
    limits += [train.step_limit * seconds_a_step] if train.step_limit else []
    seconds = min(limits, default=0.0)
    return Estimate(count, train.processes * memory(config, vocab, vocab), seconds, seconds / seconds_a_step)
