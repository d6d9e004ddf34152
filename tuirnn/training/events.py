"""What a training reports as it runs: one frozen type for each kind of event. No torch.

`to_json` is the only place that knows how `train --json` writes them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    """Something that happened after `step` training steps; `kind` is its name in `train --json`."""

    kind: ClassVar[str]
    step: int


@dataclass(frozen=True)
class Start(Event):
    """The training begins, or continues at `step`."""

    kind = "start"
    run: str
    total: int  # the step at which it will end; 0 if another limit decides
    parameters: int
    device: str
    processes: int
    data: str
    vocab: int  # width of the input: symbols, or columns of a series
    memory: int  # estimated peak, in bytes
    outputs: int  # width of the output: symbols, classes, or columns of a series


@dataclass(frozen=True)
class Step(Event):
    """Training steps were taken; the numbers are those of the last one."""

    kind = "step"
    loss: float
    grad_norm: float  # before clipping
    lr: float
    progress: float  # share of the run that is done, from 0 to 1
    tokens_per_s: float
    eta: float  # estimated seconds to the end
    next_eval: float = 0.0  # estimated seconds to the next evaluation; 0: not known, or it is due


@dataclass(frozen=True)
class Evaluation(Event):
    """The network was evaluated on held-out data."""

    kind = "eval"
    val_loss: float
    figures: dict[str, float]  # the other metrics of the task, by name
    leaky: bool  # whether the held-out part is also in the training part
    best: bool  # whether this is the lowest held-out loss so far


@dataclass(frozen=True)
class Sample(Event):
    """The text of an evaluation: what the network wrote, or how it judges held-out data."""

    kind = "sample"
    text: str


@dataclass(frozen=True)
class Checkpoint(Event):
    """A checkpoint of this step was written."""

    kind = "checkpoint"


@dataclass(frozen=True)
class Note(Event):
    """Something to say once, in one line."""

    kind = "note"
    message: str


@dataclass(frozen=True)
class End(Event):
    """The training ended without an error."""

    kind = "end"
    run: str
    outcome: str  # 'done', 'request', or the name of the signal that ended it
    best_val_loss: float  # infinite if there was no evaluation
    best_step: int
    val_loss: float  # of the last evaluation, as `figures`
    figures: dict[str, float]
    leaky: bool
    seconds: float  # of this training, without earlier ones of the run
    tokens_per_s: float


Report = Callable[[Event], None]
"""Receives each event, for a terminal or a program."""


def to_json(event: Event) -> dict[str, Any]:
    """The object that `train --json` prints: metrics stand beside the other values, `leaky` only if true."""
    values: dict[str, Any] = {"event": event.kind}
    for name in (spec.name for spec in fields(event)):
        value = getattr(event, name)
        if name == "figures":
            values |= value
        elif name != "leaky" or value:
            values[name] = value
    return values
