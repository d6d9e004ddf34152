"""Training a language model: its loss, and its evaluation."""

import torch

from tuirnn.config import RunConfig
from tuirnn.tasks.lm.data import TextData
from tuirnn.training import evaluation
from tuirnn.training.evaluator import PROBE_LANES, PROBE_ROWS, Evaluation, Evaluator
from tuirnn.training.losses import CrossEntropy
from tuirnn.training.tasks import Half


def make_loss(config: RunConfig, data: TextData, device: torch.device) -> CrossEntropy:
    """Mean nats a token."""
    return CrossEntropy()


class LanguageEvaluator(Evaluator[TextData]):
    """Both protocols of the held-out loss, a sample, the mistakes and the probes."""

    def measure(self, step: int) -> Evaluation:
        """See `Evaluator.measure`."""
        model, data = self.model, self.data
        with evaluation.evaluating(model):
            carried = evaluation.carried_loss(model, data.val, self.device, check=self.check)
            blocks = evaluation.blocks_loss(model, data.val, self.device, check=self.check)
            seen = evaluation.mistakes(model, data.vocab, data.val, self.device)
            text = self._sample(step)
            probed = self.probe(CrossEntropy(), *self._probe_batch())
        figures = {"loss_blocks": blocks}
        if data.spelling is not None:
            figures["bits"] = data.spelling.bits(carried)
        return Evaluation(carried, figures, text, probed, samples=({"kind": "mistakes", **seen},))

    def _sample(self, step: int) -> str:
        vocab, display = self.data.vocab, self.config.display
        prime = vocab.encode(display.sample_prime or "\n")
        if not len(prime) or (not display.sample_prime and int(prime[0]) == vocab.unk):
            prime = self.data.val[:1]
        written = evaluation.write_sample(
            self.model, vocab, prime, display.sample_length, self.config.train.seed + step, self.device,
            temperature=display.sample_temperature, check=self.check,
        )  # fmt: skip
        return display.sample_prime + written if written else ""

    def _probe_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The first held-out tokens as a few sequences of the training length: x and y [T, lanes]."""
        held = self.data.val
        T = min(self.config.train.seq_len, len(held) - 1)
        lanes = max(1, min(PROBE_LANES, PROBE_ROWS // T, (len(held) - 1) // T))
        text = torch.from_numpy(held[: lanes * T + 1]).to(self.device)
        return text[:-1].view(lanes, T).t(), text[1:].view(lanes, T).t()


HALF = Half(make_loss, LanguageEvaluator)
