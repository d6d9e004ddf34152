"""Training a language model: its loss, and its evaluation."""

import time
from typing import Any

import numpy as np
import torch

from tuirnn.config import RunConfig
from tuirnn.tasks.lm.data import LEAST_EVALUATED, PASSAGES, TextData
from tuirnn.text import duration
from tuirnn.training import evaluation
from tuirnn.training.evaluator import PROBE_LANES, PROBE_ROWS, Evaluation, Evaluator
from tuirnn.training.losses import CrossEntropy
from tuirnn.training.tasks import Half

LEAST_SECONDS = 1.0
"""What the loss of a whole held-out part may take at the end, however short the training."""


def make_loss(config: RunConfig, data: TextData, device: torch.device) -> CrossEntropy:
    """Mean nats a token."""
    return CrossEntropy()


class LanguageEvaluator(Evaluator[TextData]):
    """Both protocols of the held-out loss, a sample, the mistakes and the probes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.held = self.data.passages(self.data.read_by_evaluations(self.config.train))
        self._pace = 0.0  # seconds a token of the carried protocol
        self._spent = 0.0  # seconds of this session's evaluations

    def notes(self) -> list[str]:
        """Which part of the held-out text is read."""
        if len(self.held) == len(self.data.val):
            return []
        return [
            f"evaluations read {len(self.held):,} of {len(self.data.val):,} held-out tokens, in {PASSAGES} passages "
            f"spread evenly (--eval-share {self.config.train.eval_share:g}); 'tuirnn eval' reads all"
        ]

    def measure(self, step: int) -> Evaluation:
        """See `Evaluator.measure`."""
        model, held, began = self.model, self.held, time.perf_counter()
        with evaluation.evaluating(model):
            carried = evaluation.carried_loss(model, held, self.device, check=self.check)
            self._pace = (time.perf_counter() - began) / len(held)
            blocks = evaluation.blocks_loss(model, held, self.device, check=self.check)
            text, samples, probed = self._seen(step)
        figures = {"loss_blocks": blocks}
        if self.data.spelling is not None:
            figures["bits"] = self.data.spelling.bits(carried)
        self._spent += time.perf_counter() - began
        return Evaluation(carried, figures, text, probed, samples=samples)

    def look(self, step: int, tokens: int) -> str | None:
        """See `Evaluator.look`."""
        share = self.config.train.eval_share
        if not share or len(self.held) <= max(LEAST_EVALUATED, share * tokens):
            return None
        began = time.perf_counter()
        with evaluation.evaluating(self.model):
            text, samples, probed = self._seen(step)
        self.show(step, text, samples, probed)
        self._spent += time.perf_counter() - began
        return text

    def _seen(self, step: int) -> tuple[str, tuple[dict[str, Any], ...], dict[str, Any]]:
        """A sample, the mistakes, the probes: all but the losses."""
        seen = evaluation.mistakes(self.model, self.data.vocab, self.held, self.device)
        return self._sample(step), ({"kind": "mistakes", **seen},), self.probe(CrossEntropy(), *self._probe_batch())

    def finish(self, step: int, seconds: float) -> str:
        """The loss of the whole held-out part, where evaluations read passages and have left time for it."""
        val = self.data.val
        if len(self.held) == len(val):
            return ""
        whole = f"the whole held-out part of {len(val):,} tokens"
        left = self.config.train.eval_share * seconds - self._spent
        if (needed := self._pace * len(val)) > max(LEAST_SECONDS, left):
            return f"{whole} would take about {duration(needed)} to evaluate; 'tuirnn eval' does it"
        with evaluation.evaluating(self.model):
            loss = evaluation.carried_loss(self.model, val, self.device, check=self.check)
        self.writer.append("metrics", {"step": step, "split": "whole", "at": round(time.time(), 3), "loss": loss})
        return f"on {whole} the last network has a loss of {loss:.4f}, carried"

    def _sample(self, step: int) -> str:
        vocab, display = self.data.vocab, self.config.display
        prime = vocab.encode(display.sample_prime or "\n")
        if not len(prime) or (not display.sample_prime and int(prime[0]) == vocab.unk):
            prime = self.held[:1].astype(np.int64)
        written = evaluation.write_sample(
            self.model, vocab, prime, display.sample_length, self.config.train.seed + step, self.device,
            temperature=display.sample_temperature, check=self.check,
        )  # fmt: skip
        return display.sample_prime + written if written else ""

    def _probe_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The first held-out tokens as a few sequences of the training length: x and y [T, lanes]."""
        held = self.held
        T = min(self.config.train.seq_len, len(held) - 1)
        lanes = max(1, min(PROBE_LANES, PROBE_ROWS // T, (len(held) - 1) // T))
        text = torch.from_numpy(held[: lanes * T + 1].astype(np.int64)).to(self.device)
        return text[:-1].view(lanes, T).t(), text[1:].view(lanes, T).t()


HALF = Half(make_loss, LanguageEvaluator)
