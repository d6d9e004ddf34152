"""What a training will take, before it starts: parameters, memory, steps, time. Arithmetic only; no torch."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass

from tuirnn import spans
from tuirnn.codegen.trace import traced
from tuirnn.config import FIELDS, RunConfig
from tuirnn.runs.listing import RunSummary
from tuirnn.settings.model import ModelConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.survey import Survey

BASE_MEMORY = 300e6
"""Bytes that a trainer occupies with a network of no size: Python, PyTorch and its threads, a vocabulary, the native
kernels. A text is mapped from a file, whose pages the system takes back when it needs them."""

OTHER_DATA = 45e6
"""Bytes of what reads the data of the tasks that hold theirs in memory: its libraries, and what it leaves."""

LOGITS, LOGITS_CPU = 3, 5
"""Buffers of a step's logits: forward, loss, gradient; on a processor also those that freed blocks do not fit."""

EVALUATED = 64 * 64
"""Rows of held-out text that are read at once: lanes times steps."""

EVALUATION_COPIES = 2.3
"""How often the buffers of a text's evaluation are in memory: its blocks are larger than a step's and do not fit what
that has freed. The other tasks evaluate in batches of training's size, and float64 in small pieces."""

NOT_REUSED, SCATTERED = 0.25, 1.25
"""Part of the smaller of the two, training step and evaluation, that does not fit into what the larger one freed; and
so much more where a step is several passes, of each of which something stays between the blocks that it frees. All
fitted to the trainings of `benchmarks/memory.py --estimates`."""

WRITTEN = 1.33
"""Copies of what lasts while a checkpoint is written: what a step has freed stays the process's, and is not enough."""

SLOTS = {"adam": 2, "adamw": 2, "rmsprop": 1, "sgd": 0}
"""Numbers that an optimizer keeps for each parameter."""


WORKLESS = frozenset((
    "sources", "allow_leak", "split_seed", "seed", "forget_bias", "init_std", "lr", "schedule", "warmup", "lr_floor",
    "lr_step", "lr_factor", "weight_decay", "label_smoothing", "summed", "clip", "steps", "epochs", "minutes",
    "patience", "on_nan", "keep", "sample_prime", "sample_temperature",
))  # fmt: skip
"""Settings that a step takes the same time with, whatever they are; of the sources the content counts."""

LEAST_ELAPSED = 10.0
"""Seconds that a run must have trained to tell the time of another: in less, the first step and the last evaluation
weigh as much as all between them."""


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        parameters: trainable numbers, exactly.
        memory: bytes of all its processes at the peak, roughly.
        last_step: the step that it ends at by its limits; 0: steps and epochs set none.
        limit: seconds after which it ends; 0: none.
        pace: seconds a step, evaluations and checkpoints included; 0: not known.
    """

    parameters: int
    memory: float
    last_step: int
    limit: float
    pace: float

    @property
    def steps(self) -> float:
        """About as many steps, exactly where no time is set; 0: not known."""
        if not self.limit:
            return self.last_step
        in_time = self.limit / self.pace if self.pace else 0.0
        return min(in_time, self.last_step or in_time)

    @property
    def seconds(self) -> float:
        """About as long; 0: not known."""
        if not self.last_step:
            return self.limit
        needed = self.last_step * self.pace
        return min(needed, self.limit or needed)


def parameters(model: ModelConfig, vocab: int, outputs: int | None = None, *, auxiliary: bool = False) -> int:
    """Trainable numbers of a network over `vocab` symbols, exactly; `outputs` None: as many as symbols."""
    outputs = vocab if outputs is None else outputs
    H, cell = model.hidden, traced(model.recurrent)
    total = vocab * model.embed
    for layer in range(model.layers):
        width = H if layer else model.embed or vocab
        total += cell.G * H * (width + 1) + cell.R * H * (H + 1) + len(cell.vectors) * H
    top = model.projection or model.top
    if model.projection:
        total += (model.top + 1) * model.projection
    total += vocab * (H + 1) * auxiliary
    return total + outputs + (0 if model.tied else outputs * top)


def earlier_run(config: RunConfig, data: str, runs: Iterable[RunSummary]) -> RunSummary | None:
    """The longest of some runs that did the same work a step on this machine; None where there is none.

    Args:
        config: every setting.
        data: sha256 of what it learns from.
        runs: with their status.
    """
    wanted, here = work(config), socket.gethostname()
    alike = [
        run
        for run in runs
        if run.record is not None
        and run.status.step > 0
        and run.status.elapsed >= LEAST_ELAPSED
        and run.status.host == here
        and run.record.data.get("sha256") == data
        and work(run.record.config) == wanted
    ]
    return max(alike, key=lambda run: run.status.elapsed, default=None)


def work(config: RunConfig) -> dict[str, object]:
    """The settings that decide how long a step takes."""
    return {name: value for name, value in config.flat().items() if name in FIELDS.keys() - WORKLESS}


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
    G, extra, states = cell.G, len(cell.extra), len(cell.state)  # buffers of H that a step keeps
    unit = wide * T * lanes * H  # a buffer of all steps
    steps = spans.length(T, lanes, train.memory, device)
    span, count = unit * steps / T, -(-T // steps)  # a buffer of one span, and how many there are
    share = spans.kept(count, train.memory) / count
    gates = unit * share * (G + extra) if cell.keeps_gates else 0.0
    masks = T * lanes * H + unit if model.dropout else unit * (model.residual and L > 1)
    pooled = (3 * unit + T * lanes * H + (masks if model.dropout else 0)) * model.pools
    stays = L * (states * unit + gates + masks) + pooled + wide * T * lanes * model.projection
    wide_outputs, rows = outputs + (inputs if train.auxiliary else 0), T * lanes
    if not train.auxiliary and (at_once := spans.head_rows(rows, outputs)) < rows:
        logits = 4 * at_once * outputs  # overwritten by their gradient
    else:
        logits = 4 * rows * wide_outputs * (LOGITS_CPU if device == "cpu" else LOGITS)
    read_gradient = unit if L > 1 else 0
    beside = (not cell.keeps_gates or extra > 0) + (device != "cpu" and cell.keeps_gates)  # where not over activations
    making = span * G * beside
    again = span * (G + extra + states) + read_gradient - gates
    made_again = 0.0 if share == 1 or not cell.keeps_gates else again  # later than the kept gates, which have gone
    backward = unit + making + max(read_gradient * span / unit, made_again)
    table = 2 * wide * G * H * inputs if model.embed == 0 or inputs <= T * lanes else 0
    matrices = wide * G * H * max(H, model.embed)  # a product before it is added up
    return float(stays + max(logits, backward + table + matrices))


def look_memory(config: RunConfig, inputs: int, outputs: int) -> float:
    """Bytes that an evaluation takes at its peak, roughly."""
    model, wide, cell = config.model, _bytes(config.train), traced(config.model.recurrent)
    span = spans.length(EVALUATED, 1, "none", "cpu")
    gates = wide * span * model.hidden * (cell.G + len(cell.extra) + 1)
    return float(3 * wide * EVALUATED * model.hidden + gates) + 3 * 4 * min(EVALUATED * outputs, 1 << 22)


def memory(config: RunConfig, inputs: int, outputs: int, device: str = "cpu", held: float = 0.0) -> float:
    """Bytes that each process of a run takes at its peak; on a GPU, of the GPU's memory.

    Args:
        config, inputs, outputs, device: as for `step_memory`.
        held: bytes that the data occupy.
    """
    train = config.train
    weights = _bytes(train) * parameters(config.model, inputs, outputs, auxiliary=train.auxiliary > 0)
    lasting = weights * (1 + SLOTS[train.optimizer] + (train.momentum > 0))
    gradients = weights * (2 if train.processes > 1 else 1)  # and once more on their way between processes
    step, look = step_memory(config, inputs, outputs, device), look_memory(config, inputs, outputs)
    if device != "cpu":  # PyTorch's own allocator uses again what was freed
        return lasting + gradients + max(step, look)
    look *= EVALUATION_COPIES if config.task.writes and train.dtype != "float64" else 1.0
    peak = gradients + max(step, look) + (NOT_REUSED + SCATTERED * (train.accumulate > 1)) * min(step, look)
    data = 0.0 if config.task.writes else OTHER_DATA
    return BASE_MEMORY + data + held + lasting + peak + WRITTEN * lasting


def _bytes(train: TrainConfig) -> float:
    """Of a number."""
    return 8.0 if train.dtype == "float64" else 4.0


def estimate(config: RunConfig, found: Survey, pace: float = 0.0) -> Estimate:
    """What a run takes.

    Args:
        config: every setting.
        found: in its data.
        pace: seconds a step, from `pace_of` an earlier run or from a trial; 0: not known.
    """
    config = config.replace(batch_size=found.lanes, seq_len=found.longest or config.train.seq_len)
    train, needs = config.train, memory(config, found.inputs, found.outputs, held=found.memory)
    return Estimate(
        parameters(config.model, found.inputs, found.outputs, auxiliary=train.auxiliary > 0),
        train.processes * needs,
        train.last_step(found.epoch),
        60 * train.minutes,
        pace,
    )


def pace_of(run: RunSummary) -> float:
    """Seconds a step of a run that has trained, evaluations and checkpoints included."""
    return run.status.elapsed / run.status.step
