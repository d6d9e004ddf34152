"""Evaluates the network now and then on held-out data, and writes what it finds to the run directory.

Each task has an evaluator of its own. An evaluation ends in the held-out loss, which `best` and `--patience` go by, in
further figures, and in a text for people.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from tuirnn.config import RunConfig
from tuirnn.machine import give_back_freed_memory
from tuirnn.models import SequenceModel
from tuirnn.runs.reader import ELAPSED, SAID, SAID_SHARE, SAID_TRUE
from tuirnn.runs.writer import RunWriter
from tuirnn.tasks.task import TaskData
from tuirnn.training.probes import Loss, probe

PROBE_LANES, PROBE_ROWS = 8, 2048
"""Sequences that are probed, and at most so many steps of all together."""

Data = TypeVar("Data", bound=TaskData)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found.

    Attributes:
        loss: on held-out data, in the unit of the task.
        figures: the others, by their keys in `metrics.jsonl`.
        text: what the network writes, or how it answers held-out data.
        more: further numbers for `metrics.jsonl` that no screen names.
        samples: further records for `samples.jsonl`.
        kept: what a checkpoint keeps of it for the network's use, as JSON.
        probed: what was seen inside the network.
        notes: what is to be said of it, a line each.
    """

    loss: float
    figures: dict[str, float]
    text: str
    probed: dict[str, Any]
    more: dict[str, float] = field(default_factory=dict)
    samples: tuple[dict[str, Any], ...] = ()
    kept: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def commonest_answer(answers: Sequence[int], truths: Sequence[int]) -> dict[str, float]:
    """The class that a network answers most often, for `Evaluation.more`.

    Args:
        answers: how often each class is answered, by its number.
        truths: how often each is right.
    Returns:
        its number, its share of the answers, and its share of the truths.
    """
    said = max(range(len(answers)), key=lambda k: answers[k])
    return {SAID: said, SAID_SHARE: answers[said] / sum(answers), SAID_TRUE: truths[said] / sum(truths)}


class Evaluator(ABC, Generic[Data]):
    """Evaluates a model that training goes on changing.

    Args:
        config: every setting.
        model: the network.
        data: of the task.
        writer: the run directory.
        device: where the model is.
        check: called every fraction of a second; what it raises ends an evaluation with nothing written.
    """

    def __init__(
        self,
        config: RunConfig,
        model: SequenceModel,
        data: Data,
        writer: RunWriter,
        device: torch.device,
        check: Callable[[], None],
    ) -> None:
        self.config, self.model, self.data, self.device, self.check = config, model, data, device, check
        self.writer = writer

    @abstractmethod
    def measure(self, step: int) -> Evaluation:
        """Evaluate the network as it stands after `step` steps."""

    def notes(self) -> list[str]:
        """What is to be said of the evaluations before the first, a line each."""
        return []

    def finish(self, step: int, seconds: float) -> str:
        """What is still to be measured when the training ends after so many seconds; returns a line to say, or none."""
        return ""

    def look(self, step: int, tokens: int) -> str | None:
        """Write to the logs what the network makes after `step` steps and so many `tokens`, without a held-out loss.

        Returns:
            a text for people; None: an evaluation does not take much longer.
        """
        return None

    def evaluate(self, step: int, elapsed: float) -> Evaluation:
        """Evaluate, and write what was found to the logs.

        Args:
            step: steps taken.
            elapsed: seconds of training, pauses and interruptions left out.
        """
        give_back_freed_memory()  # an evaluation's blocks and a step's have other sizes and would not fit one another's
        found = self.measure(step)
        give_back_freed_memory()
        values = {"loss": found.loss, **found.figures, **found.more, ELAPSED: round(elapsed, 3)}
        self.writer.append("metrics", {"step": step, "split": "val", "at": round(time.time(), 3), **values})
        self.show(step, found.text, found.samples, found.probed)
        return found

    def show(self, step: int, text: str, samples: Sequence[dict[str, Any]], probed: dict[str, Any]) -> None:
        """Write what can be looked at to the logs: fields as in `Evaluation`."""
        self.writer.append(
            "samples", *({"step": step, **sample} for sample in ({"kind": "sample", "text": text}, *samples))
        )
        self.writer.append("probes", {"step": step, **probed})

    def probe(self, loss: Loss, x: Tensor, y: Tensor) -> dict[str, Any]:
        """What is seen inside the network on x and y [T, B, …]; see `probes.probe`."""
        return probe(self.model, loss, x, y)
