"""Looking at the network now and then: losses, a sample, its mistakes, its inside; all of it written down."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tuirnn.config import RunConfig
from tuirnn.models import SequenceModel
from tuirnn.runs.writer import RunWriter
from tuirnn.tasks.lm import TextData
from tuirnn.training import evaluation
from tuirnn.training.probes import probe

PROBE_LANES = 8


@dataclass(frozen=True)
class Look:
    """What one evaluation found: losses in nats per token, and what the network wrote."""

    carried: float
    blocks: float
    text: str


class Observer:
    """Evaluates a model on held-out text and writes what it sees to the run directory.

    Args:
        config: lengths and seed.
        model: the network, which training goes on changing.
        data: the text.
        writer: the run directory.
        device: where the model is.
        check: called every fraction of a second; what it raises ends a look with nothing written.
    """

    def __init__(
        self,
        config: RunConfig,
        model: SequenceModel,
        data: TextData,
        writer: RunWriter,
        device: torch.device,
        check: Callable[[], None],
    ) -> None:
        self.config, self.model, self.data, self.writer, self.device = config, model, data, writer, device
        self.check = check

    def look(self, step: int) -> Look:
        """Both protocols, a sample, the mistakes and the probes."""
        model, data = self.model, self.data
        with evaluation.evaluating(model):
            carried = evaluation.carried_loss(model, data.val, self.device, check=self.check)
            blocks = evaluation.blocks_loss(model, data.val, self.device, check=self.check)
            seen = evaluation.mistakes(model, data.vocab, data.val, self.device)
            text = self._sample(step)
            inside = probe(model, *self._probe_batch())
        at = round(time.time(), 3)
        self.writer.append("metrics", {"step": step, "split": "val", "at": at, "loss": carried, "loss_blocks": blocks})
        self.writer.append(
            "samples", {"step": step, "kind": "sample", "text": text}, {"step": step, "kind": "mistakes", **seen}
        )
        self.writer.append("probes", {"step": step, **inside})
        return Look(carried, blocks, text)

    def _sample(self, step: int) -> str:
        vocab, train = self.data.vocab, self.config.train
        newline = vocab.encode("\n")
        known = len(newline) == 1 and int(newline[0]) != vocab.unk
        first = int(newline[0]) if known else int(self.data.val[0])
        seed = train.seed + step
        return evaluation.write_sample(
            self.model, vocab, first, train.sample_length, seed, self.device, check=self.check
        )

    def _probe_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The first held-out tokens as a few sequences of the training length: x and y [T, lanes]."""
        held = self.data.val
        T = min(self.config.train.seq_len, len(held) - 1)
        lanes = max(1, min(PROBE_LANES, (len(held) - 1) // T))
        text = torch.from_numpy(held[: lanes * T + 1]).to(self.device)
        return text[:-1].view(lanes, T).t(), text[1:].view(lanes, T).t()
