"""A tagger's answers: a text with its spans marked, and figures over many sequences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuirnn.errors import ConfigError, one_line
from tuirnn.tasks.tag.data import Sequences, last_tokens, side_by_side
from tuirnn.tasks.tag.judging import Figures, Logits, judge, verdict
from tuirnn.tasks.tag.reading import words_of
from tuirnn.tasks.tag.spans import Span, find_spans, marked, prefixes
from tuirnn.tasks.task import OpenCell
from tuirnn.vocab import Ids


def answers(cell: OpenCell, ids: Sequence[Ids]) -> Iterator[tuple[int, Logits]]:
    """For each sequence its number and the logits [n, tags] after each of its tokens; sequences run side by side."""
    for which in side_by_side(np.array([len(one) for one in ids], np.int64)):
        stepper, B = cell.stepper(len(which)), len(which)
        x = np.zeros((max(len(ids[i]) for i in which), B), np.int64)
        for column, i in enumerate(which):
            x[: len(ids[i]), column] = ids[i]
        logits = stepper.read(x)[:, :B]  # [T, B, tags]
        for column, i in enumerate(which):
            yield int(i), logits[: len(ids[i]), column]


def measure(cell: OpenCell, sequences: Sequences) -> Figures:
    """Judge a tagger on tagged sequences."""
    return judge(sequences, cell.metadata.classes, answers(cell, sequences.ids))


@dataclass(frozen=True)
class Marked:
    """A text as a tagger reads it.

    Attributes:
        text: of a user.
        words: first character of each word, and the one after its last.
        tags, p: of each word the likeliest tag after its last token, and its probability.
        spans: that the tags name.
    """

    text: str
    words: list[tuple[int, int]]
    tags: list[str]
    p: list[float]
    spans: list[Span]

    @property
    def line(self) -> str:
        """The text with its spans in brackets."""
        return marked(self.text, self.words, self.spans)

    @property
    def shown(self) -> str:
        """As `line`, on one printable line."""
        return one_line(self.line, 10 * len(self.line))  # an escape has at most ten characters

    def to_json(self) -> dict[str, Any]:
        """Plain values; places are characters of the text, the last one not included."""
        words = [
            {"word": self.text[first:last], "first": first, "last": last, "tag": tag, "p": p}
            for (first, last), tag, p in zip(self.words, self.tags, self.p, strict=True)
        ]
        spans = []
        for span in self.spans:
            first, last = self.words[span.first][0], self.words[span.last - 1][1]
            spans.append({"text": self.text[first:last], "first": first, "last": last, "kind": span.kind})
        return {"text": self.text, "marked": self.line, "words": words, "spans": spans}

    def table(self) -> list[str]:
        """A line for each word: the word, its tag, its probability."""
        shown = [one_line(self.text[first:last], 40) for first, last in self.words]
        wide, tags = max(map(len, shown)), max(map(len, self.tags))
        return [
            f"{word:<{wide}}  {tag:<{tags}}  {p:.3f}" for word, tag, p in zip(shown, self.tags, self.p, strict=True)
        ]


def mark(cell: OpenCell, texts: Sequence[str]) -> list[Marked]:
    """A tagger's answer to each text.

    Where every tag is a single character and so is every token, tags are taken to be those of symbols, not of words.

    Raises:
        ConfigError: a text without any word.
    """
    vocab, classes = cell.metadata.vocab, cell.metadata.classes
    symbols = vocab.kind != "word" and all(len(tag) == 1 for tag in classes)
    words = [[(at, at + 1) for at in range(len(text))] if symbols else words_of(text) for text in texts]
    if not all(words):
        raise ConfigError("a text without a word has nothing to tag; give at least one")
    found: dict[int, Marked] = {}
    for i, logits in answers(cell, [vocab.encode(text) for text in texts]):
        said = verdict(logits, last_tokens(vocab.starts(texts[i]), words[i]))
        tags = [classes[tag] for tag in said.tags]
        spans = find_spans(tags, prefixes(classes))
        found[i] = Marked(texts[i], words[i], tags, said.p.tolist(), spans)
    return [found[i] for i in range(len(texts))]
