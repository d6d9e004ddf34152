"""How well a network tags held-out sequences, from its logits after each token."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.tasks.probabilities import Probabilities
from tuirnn.tasks.tag.data import Sequences
from tuirnn.tasks.tag.spans import Counts, count_spans, prefixes, total
from tuirnn.vocab import Ids

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Figures:
    """How a network does on tagged sequences.

    Attributes:
        nats: mean −ln p(true tag) over the tokens.
        tokens: that this is a mean over.
        accuracy: share of the words whose tag, after their last token, is right.
        tags: counts of words, by tag.
        spans: counts of spans, by kind.
    """

    nats: float
    tokens: int
    accuracy: float
    tags: dict[str, Counts]
    spans: dict[str, Counts]

    @property
    def words(self) -> int:
        """Words that were judged."""
        return total(self.tags).true

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        every = total(self.spans)
        return {
            "nats": self.nats,
            "accuracy": self.accuracy,
            "span_f1": every.f1,
            "span_precision": every.precision,
            "span_recall": every.recall,
            "tokens": self.tokens,
            "words": self.words,
            "tags": {tag: counts.to_json() for tag, counts in self.tags.items()},
            "spans": {kind: counts.to_json() for kind, counts in self.spans.items()},
        }


@dataclass(frozen=True)
class Verdict:
    """A network's answer to one sequence.

    Attributes:
        tags: the likeliest of each word, [words].
        p: the probability of each of these, [words].
    """

    tags: Ids
    p: Probabilities


def verdict(logits: Logits, ends: Ids) -> Verdict:
    """What logits [n, tags] say of the words that end at these tokens [words]."""
    scores = log_softmax(logits[ends])  # [words, tags]
    return Verdict(scores.argmax(-1), np.exp(scores.max(-1)))


def judge(sequences: Sequences, classes: Sequence[str], answers: Iterable[tuple[int, Logits]]) -> Figures:
    """Judge a network.

    Args:
        sequences: at least one.
        classes: the tags, in the order of the logits.
        answers: for each sequence, in any order, its number and the logits [n, tags] after each token.
    """
    nats, guesses = 0.0, [np.zeros(0, np.int64)] * len(sequences)
    for i, logits in answers:
        targets = sequences.tags[i]
        nats -= float(log_softmax(logits)[np.arange(len(targets)), targets].sum())
        guesses[i] = logits[sequences.ends[i]].argmax(-1)
    truths = [tags[ends] for tags, ends in zip(sequences.tags, sequences.ends, strict=True)]
    true, guessed = np.concatenate(truths), np.concatenate(guesses)
    tokens = int(sequences.lengths.sum())
    return Figures(
        nats / tokens,
        tokens,
        float((true == guessed).mean()),
        {tag: _count(true == i, guessed == i) for i, tag in enumerate(classes)},
        count_spans(_named(truths, classes), _named(guesses, classes), prefixes(classes)),
    )


def log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Logarithms of the probabilities over the last axis, float64."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def _count(true: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> Counts:
    return Counts(int(true.sum()), int(found.sum()), int((true & found).sum()))


def _named(rows: Iterable[Ids], classes: Sequence[str]) -> Iterable[list[str]]:
    return ([classes[tag] for tag in row] for row in rows)
