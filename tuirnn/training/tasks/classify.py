"""Training a classifier: its loss, and its evaluation by accuracy and macro F1 on held-out sequences."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tuirnn.config import RunConfig
from tuirnn.errors import one_line
from tuirnn.models import SequenceModel
from tuirnn.tasks.classify.data import Examples, LabelledData, macro_f1
from tuirnn.training.evaluation import evaluating, go_on
from tuirnn.training.evaluator import Evaluation, Evaluator
from tuirnn.training.losses import CrossEntropy
from tuirnn.training.tasks import Half

SHOWN = 12
"""Held-out sequences whose verdict is shown at each evaluation."""

BATCH = 256


def make_loss(config: RunConfig, data: LabelledData, device: torch.device) -> CrossEntropy:
    """Mean nats a sequence, or a step."""
    return CrossEntropy(torch.from_numpy(data.class_weights).to(device) if config.train.class_weights else None)


class ClassEvaluator(Evaluator[LabelledData]):
    """Held-out figures, the verdict on a few sequences, and the probes."""

    def measure(self, step: int) -> Evaluation:
        """See `Evaluator.measure`."""
        model, val = self.model, self.data.val
        with evaluating(model):
            scores = last_logits(model, val, self.device, check=self.check).log_softmax(-1)  # [n, classes]
            probed = self.probe(CrossEntropy(), *self._probe_batch())
        labels = torch.from_numpy(val.labels)
        guesses = scores.argmax(-1)
        confusion = np.zeros((self.data.outputs, self.data.outputs), np.int64)
        np.add.at(confusion, (val.labels, guesses.numpy()), 1)
        figures = {"accuracy": float((guesses == labels).double().mean()), "macro_f1": macro_f1(confusion)}
        loss = float(-scores.gather(1, labels[:, None]).mean())
        return Evaluation(loss, figures, self._verdicts(scores), probed)

    def _verdicts(self, scores: Tensor) -> str:
        """Some held-out sequences as a table: each with the network's answer, its probability, the truth if another."""
        val, classes = self.data.val, self.data.classes
        rows = []
        for i in np.linspace(0, len(val) - 1, min(SHOWN, len(val))).astype(int):
            p, guess = scores[i].exp().max(0)
            truth = "" if int(guess) == val.labels[i] else f"is {classes[val.labels[i]]}"
            sequence = one_line(self.data.vocab.decode(val.ids[i]), 40)
            rows.append((sequence, classes[int(guess)], f"{float(p):.2f}", truth))
        wide = [max(len(row[column]) for row in rows) for column in range(2)]
        return "\n".join(f"{one:<{wide[0]}}  {two:<{wide[1]}}  {p}  {is_}".rstrip() for one, two, p, is_ in rows)

    def _probe_batch(self) -> tuple[Tensor, Tensor]:
        """Held-out sequences of the commonest length, so that all end together: x and y [T, B]."""
        val = self.data.val
        lengths = np.array([len(ids) for ids in val.ids])
        which = np.flatnonzero(lengths == np.bincount(lengths).argmax())[:8]
        x, _ = val.padded(which)
        y = np.broadcast_to(val.labels[which], x.shape)
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y.copy()).to(self.device)


def last_logits(
    model: SequenceModel, examples: Examples, device: torch.device, *, check: Callable[[], None] = go_on
) -> Tensor:
    """Logits [n, classes] at each sequence's own last step, in float32 on the CPU."""
    order = np.argsort([len(ids) for ids in examples.ids], kind="stable")  # alike lengths together: little padding
    found = torch.empty(len(examples), model.head.out_features)
    for first in range(0, len(order), BATCH):
        check()
        which = order[first : first + BATCH]
        x, lengths = examples.padded(which)
        logits, _ = model(torch.from_numpy(x).to(device), model.zero_state(len(which)))
        found[which] = logits[torch.from_numpy(lengths - 1), torch.arange(len(which))].float().cpu()
    return found


HALF = Half(make_loss, ClassEvaluator)
