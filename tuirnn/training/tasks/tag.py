"""Training a tagger: its loss, and its evaluation by accuracy and span F1 on held-out sequences."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuirnn.config import RunConfig
from tuirnn.errors import one_line
from tuirnn.models import SequenceModel
from tuirnn.tasks.tag.data import Sequences, TagData, side_by_side
from tuirnn.tasks.tag.judging import Logits, judge, verdict
from tuirnn.tasks.tag.spans import find_spans, marked, prefixes, total
from tuirnn.training.evaluation import evaluating, go_on
from tuirnn.training.evaluator import PROBE_LANES, PROBE_ROWS, Evaluation, Evaluator, commonest_answer
from tuirnn.training.losses import CrossEntropy
from tuirnn.training.tasks import Half

SHOWN, WIDTH = 12, 300
"""Held-out sequences that are shown at each evaluation, and at most so many characters of each."""


def make_loss(config: RunConfig, data: TagData, device: torch.device) -> CrossEntropy:
    """Mean nats a token; padding counts nothing."""
    return CrossEntropy()


class TagEvaluator(Evaluator[TagData]):
    """Held-out figures, a few sequences with the spans that were found, and the probes."""

    def measure(self, step: int) -> Evaluation:
        """See `Evaluator.measure`."""
        val, classes = self.data.val, self.data.classes
        shown = np.linspace(0, len(val) - 1, min(SHOWN, len(val))).astype(int)
        seen: dict[int, list[Any]] = {}

        def noting() -> Iterator[tuple[int, Logits]]:
            for i, logits in padded_logits(self.model, val, self.device, check=self.check):
                if i in shown:
                    seen[i] = self._marked(i, logits)
                yield i, logits

        with evaluating(self.model):
            found = judge(val, classes, noting())
            probed = self.probe(CrossEntropy(), *self._probe_batch())
        figures = {"accuracy": found.accuracy, "span_f1": total(found.spans).f1}
        rows = [seen[int(i)] for i in shown]
        told = [line for _, guess, truth, _ in rows for line in (guess, *[f"  is: {truth}"] * (guess != truth))]
        answers = {"kind": "answers", "judged": len(val), "rows": rows}
        counts = [found.tags[tag] for tag in classes]
        said = commonest_answer([one.found for one in counts], [one.true for one in counts])
        return Evaluation(found.nats, figures, "\n".join(told), probed, more=said, samples=(answers,))

    def _marked(self, i: int, logits: Logits) -> list[Any]:
        """A held-out sequence: '', the spans that were found in it, the true ones, the least probability of a tag."""
        val, classes, scheme = self.data.val, self.data.classes, prefixes(self.data.classes)
        one = val.texts[i]
        said = verdict(logits, val.ends[i])
        found, true = find_spans([classes[tag] for tag in said.tags], scheme), find_spans(one.tags, scheme)
        lines = [one_line(marked(one.text, one.words, spans), WIDTH) for spans in (found, true)]
        if found != true and lines[0] == lines[1]:  # they differ after the end of the line
            lines[1] += " (differs further on)"
        return ["", *lines, round(float(said.p.min()), 4)]

    def _probe_batch(self) -> tuple[Tensor, Tensor]:
        """Held-out sequences cut to the length that half of them reach, so that none is padded: x and y [T, B]."""
        val = self.data.val
        T = min(int(np.median(val.lengths)), PROBE_ROWS)
        which = np.flatnonzero(val.lengths >= T)[: max(1, min(PROBE_LANES, PROBE_ROWS // T))]
        x, y = val.padded(which)
        return torch.from_numpy(x[:T].copy()).to(self.device), torch.from_numpy(y[:T].copy()).to(self.device)


def padded_logits(
    model: SequenceModel, sequences: Sequences, device: torch.device, *, check: Callable[[], None] = go_on
) -> Iterator[tuple[int, Logits]]:
    """For each sequence its number and the logits [n, tags] after each token; sequences run side by side, padded."""
    for which in side_by_side(sequences.lengths):
        check()
        x, _ = sequences.padded(which)
        logits, _ = model(torch.from_numpy(x).to(device), model.zero_state(len(which)))  # [T, B, tags]
        found = logits.float().cpu().numpy()
        for column, i in enumerate(which):
            yield int(i), found[: sequences.lengths[i], column]


HALF = Half(make_loss, TagEvaluator)
