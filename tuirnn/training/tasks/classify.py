"""Training a classifier: its loss, and its evaluation by accuracy and macro F1 on held-out sequences."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuirnn.config import RunConfig
from tuirnn.errors import one_line
from tuirnn.models import SequenceModel
from tuirnn.tasks.classify.data import Examples, LabelledData, macro_f1
from tuirnn.tasks.classify.ngrams import Baseline, NGrams
from tuirnn.training.evaluation import evaluating, go_on
from tuirnn.training.evaluator import Evaluation, Evaluator, commonest_answer
from tuirnn.training.losses import CrossEntropy, WithNextSymbol
from tuirnn.training.tasks import Half

SHOWN, TOLD, LONGEST = 40, 12, 200
"""Held-out sequences whose verdict is recorded at each evaluation, those of them in its text; characters of each."""

JUDGED = 4_000
"""Validation sequences that an evaluation judges at most: a second or two of work."""

BATCH, SYMBOLS = 256, 100_000
"""Sequences, and symbols with padding, that are read side by side."""


def make_loss(config: RunConfig, data: LabelledData, device: torch.device) -> CrossEntropy:
    """Mean nats a sequence, or a step; with an auxiliary loss, those of the next symbol beside it."""
    train = config.train
    weights = torch.from_numpy(data.class_weights).to(device) if train.class_weights else None
    if train.auxiliary:
        return WithNextSymbol(data.outputs, train.auxiliary, weights, train.label_smoothing)
    return CrossEntropy(weights, train.label_smoothing)


class ClassEvaluator(Evaluator[LabelledData]):
    """Held-out figures beside those of n-grams, the verdict on a few sequences, and the probes."""

    baseline: Baseline | None = None

    @cached_property
    def val(self) -> Examples:
        """The validation sequences that every evaluation judges."""
        return self.data.val.spread(JUDGED)

    def measure(self, step: int) -> Evaluation:
        """See `Evaluator.measure`."""
        model, val = self.model, self.val
        with evaluating(model):
            scores = last_logits(model, val, self.device, check=self.check).log_softmax(-1)  # [n, classes]
            probed = self.probe(CrossEntropy(), *self._probe_batch())
        labels = torch.from_numpy(val.labels)
        guesses = scores.argmax(-1)
        confusion = np.zeros((self.data.outputs, self.data.outputs), np.int64)
        np.add.at(confusion, (val.labels, guesses.numpy()), 1)
        notes = () if self.baseline else self._compare()
        assert self.baseline is not None
        figures = {
            "accuracy": float((guesses == labels).double().mean()),
            "macro_f1": macro_f1(confusion),
            "ngram_accuracy": self.baseline.accuracy,
        }
        loss = float(-scores.gather(1, labels[:, None]).mean())
        told, rows = self._verdicts(scores)
        answers = {"kind": "answers", "judged": len(val), "rows": rows}
        said = commonest_answer(confusion.sum(0).tolist(), confusion.sum(1).tolist())
        return Evaluation(loss, figures, told, probed, more=said, samples=(answers,), notes=notes)

    def _compare(self) -> tuple[str, ...]:
        """Fit the baseline, once for all evaluations; returns what is to be said."""
        self.baseline = NGrams(self.data, self.check).judge(self.val)
        told = f"for comparison, on the validation sequences: {self.baseline.told}"
        if len(self.val) == len(self.data.val):
            return (told,)
        return (
            f"evaluations during training judge {len(self.val):,} of {len(self.data.val):,} validation sequences",
            told,
        )

    def _verdicts(self, scores: Tensor) -> tuple[str, list[list[Any]]]:
        """Some held-out sequences: as a table, and each as [sequence, answer, truth, probability of the answer]."""
        val, classes = self.val, self.data.classes
        rows: list[list[Any]] = []
        for i in np.linspace(0, len(val) - 1, min(SHOWN, len(val))).astype(int):
            p, guess = scores[i].exp().max(0)
            sequence = one_line(self.data.vocab.decode(val.ids[i]), LONGEST)
            rows.append([sequence, classes[int(guess)], classes[val.labels[i]], round(float(p), 4)])
        short = [(one_line(text, 40), guess, f"{p:.2f}", truth) for text, guess, truth, p in rows[:TOLD]]
        wide = [max(len(row[column]) for row in short) for column in range(2)]
        lines = [
            f"{one:<{wide[0]}}  {guess:<{wide[1]}}  {p}  {'' if guess == truth else f'is {truth}'}".rstrip()
            for one, guess, p, truth in short
        ]
        return "\n".join(lines), rows

    def _probe_batch(self) -> tuple[Tensor, Tensor]:
        """Held-out sequences of the commonest length, so that all end together: x and y [T, B]."""
        val = self.val
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
    done = 0
    while done < len(order):
        check()
        which = order[done : done + BATCH]
        which = which[: max(1, SYMBOLS // len(examples.ids[which[-1]]))]
        done += len(which)
        x, lengths = examples.padded(which)
        logits, _ = model(torch.from_numpy(x).to(device), model.zero_state(len(which)))
        found[which] = logits[torch.from_numpy(lengths - 1), torch.arange(len(which))].float().cpu()
    return found


HALF = Half(make_loss, ClassEvaluator)
