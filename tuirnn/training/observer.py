"""Judging the network: now and then a look at held-out data, all of it written down.

Each task has one observer. A look ends in one figure, the held-out loss that `best` and `--patience` go by, in further
figures, and in a text for people.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from tuirnn.config import RunConfig
from tuirnn.models import SequenceModel
from tuirnn.runs.writer import RunWriter
from tuirnn.tasks import TaskData
from tuirnn.tasks.lm import TextData
from tuirnn.training import evaluation
from tuirnn.training.losses import CrossEntropy
from tuirnn.training.probes import probe

PROBE_LANES, PROBE_ROWS = 8, 2048
"""Sequences that are looked into, and at most so many steps of all together."""


@dataclass(frozen=True)
class Look:
    """What one evaluation found.

    Attributes:
        loss: nats a token or a sequence; of a forecast the squared error, in squared deviations.
        figures: others by name, as `status.json` has them.
        text: what the network writes, or how it judges held-out data.
    """

    loss: float
    text: str
    figures: dict[str, float] = field(default_factory=dict)


class Observer:
    """Judges a model that training goes on changing, and writes what it sees to the run directory.

    Args:
        config: lengths and seed.
        model: the network.
        data: of the task.
        writer: the run directory.
        device: where the model is.
        check: called every fraction of a second; what it raises ends a look with nothing written.
    """

    def __init__(
        self,
        config: RunConfig,
        model: SequenceModel,
        data: TaskData,
        writer: RunWriter,
        device: torch.device,
        check: Callable[[], None],
    ) -> None:
        self.config, self.model, self.writer, self.device, self.check = config, model, writer, device, check
        self.take(data)

    def take(self, data: TaskData) -> None:
        """Keep the data of this observer's own task."""
        raise AssertionError("subclasses define it")

    def look(self, step: int) -> Look:
        """Evaluate, and write what was seen."""
        raise AssertionError("subclasses define it")

    def write(self, step: int, look: Look, figures: dict[str, float], *samples: dict[str, Any]) -> None:
        """Put a look into the logs; `figures` stand beside its loss in the metrics."""
        at = round(time.time(), 3)
        self.writer.append("metrics", {"step": step, "split": "val", "at": at, "loss": look.loss, **figures})
        self.writer.append("samples", {"step": step, "kind": "sample", "text": look.text}, *samples)


class LanguageObserver(Observer):
    """Both protocols of the held-out loss, a sample, the mistakes and the probes."""

    def take(self, data: TaskData) -> None:
        """A text."""
        assert isinstance(data, TextData)
        self.data = data

    def look(self, step: int) -> Look:
        """See `Observer.look`."""
        model, data = self.model, self.data
        with evaluation.evaluating(model):
            carried = evaluation.carried_loss(model, data.val, self.device, check=self.check)
            blocks = evaluation.blocks_loss(model, data.val, self.device, check=self.check)
            seen = evaluation.mistakes(model, data.vocab, data.val, self.device)
            look = Look(carried, self._sample(step), {"val_loss_blocks": blocks})
            inside = probe(model, CrossEntropy(), *self._probe_batch())
        self.write(step, look, {"loss_blocks": blocks}, {"step": step, "kind": "mistakes", **seen})
        self.writer.append("probes", {"step": step, **inside})
        return look

    def _sample(self, step: int) -> str:
        vocab, train = self.data.vocab, self.config.train
        prime = vocab.encode(train.sample_prime or "\n")
        if not len(prime) or (not train.sample_prime and int(prime[0]) == vocab.unk):
            prime = self.data.val[:1]
        written = evaluation.write_sample(
            self.model, vocab, prime, train.sample_length, train.seed + step, self.device,
            temperature=train.sample_temperature, check=self.check,
        )  # fmt: skip
        return train.sample_prime + written if written else ""

    def _probe_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The first held-out tokens as a few sequences of the training length: x and y [T, lanes]."""
        held = self.data.val
        T = min(self.config.train.seq_len, len(held) - 1)
        lanes = max(1, min(PROBE_LANES, PROBE_ROWS // T, (len(held) - 1) // T))
        text = torch.from_numpy(held[: lanes * T + 1]).to(self.device)
        return text[:-1].view(lanes, T).t(), text[1:].view(lanes, T).t()
