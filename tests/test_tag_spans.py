"""Sequence tagging: spans in rows of tags, and figures, held against values by hand and a second implementation."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.tasks.tag.data import encoded
from tuirnn.tasks.tag.judging import judge
from tuirnn.tasks.tag.reading import tagged, words_of
from tuirnn.tasks.tag.spans import Counts, Span, count_spans, find_spans, marked, prefixes, total
from tuirnn.vocab import Vocabulary

BY_HAND = {
    "IOB2": ("B-A I-A O B-B B-B I-B", [(0, 2, "A"), (3, 4, "B"), (4, 6, "B")]),
    "IOB1": ("I-A I-A O I-B B-B I-B I-A", [(0, 2, "A"), (3, 4, "B"), (4, 6, "B"), (6, 7, "A")]),
    "BIOES": ("B-A E-A S-B S-B B-A I-A E-A O", [(0, 2, "A"), (2, 3, "B"), (3, 4, "B"), (4, 7, "A")]),
    "BIOES, broken": ("E-A I-A B-A O I-B", [(0, 1, "A"), (1, 2, "A"), (2, 3, "A"), (4, 5, "B")]),
    "BILOU": ("B-A L-A U-B U-B B-A I-A L-A O", [(0, 2, "A"), (2, 3, "B"), (3, 4, "B"), (4, 7, "A")]),
    "plain": ("N N O V N V V", [(0, 2, "N"), (3, 4, "V"), (4, 5, "N"), (5, 7, "V")]),
    "plain with a dash": ("B- B- O", [(0, 2, "B-")]),
    "outside": ("O O", []),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_spans_by_hand(name: str) -> None:
    tags, spans = BY_HAND[name]
    assert find_spans(tags.split(), prefixes(tags.split())) == [Span(*span) for span in spans]


def test_schemes() -> None:
    assert prefixes(["O", "B-A", "I-A"]) == prefixes(["I-A"]) == "BI"
    assert prefixes(["O", "B-A", "S-A"]) == "BIES"
    assert prefixes(["O", "B-A", "NOUN"]) == prefixes(["O"]) == prefixes(["B", "I", "O"]) == prefixes(["X-A"]) == ""


@st.composite
def span_sets(draw: st.DrawFn) -> tuple[int, list[Span]]:
    """A length and spans that do not overlap."""
    cuts = sorted(draw(st.sets(st.integers(0, 12), min_size=2, max_size=8)))
    kinds = [draw(st.sampled_from(["A", "B", ""])) for _ in cuts[1:]]
    spans = [Span(a, b, kind) for a, b, kind in zip(cuts, cuts[1:], kinds, strict=False) if kind]
    return 13, spans


def written(length: int, spans: Sequence[Span], scheme: str) -> list[str]:
    """The tags of spans, by the definition of each scheme."""
    tags = ["O"] * length
    for span in spans:
        for at in range(span.first, span.last):
            tags[at] = f"I-{span.kind}"
        touches = any(other.last == span.first and other.kind == span.kind for other in spans)
        if scheme != "IOB1" or touches:
            tags[span.first] = f"B-{span.kind}"
        if scheme == "BIOES":
            tags[span.last - 1] = f"{'S' if span.last - span.first == 1 else 'E'}-{span.kind}"
    return tags


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES"])
@given(made=span_sets())
def test_spans_that_were_written_are_found(scheme: str, made: tuple[int, list[Span]]) -> None:
    length, spans = made
    assert find_spans(written(length, spans, scheme), "BIES" if scheme == "BIOES" else "BI") == spans


def begins(tags: Sequence[str], at: int) -> bool:
    """Independent of `find_spans`: whether a span begins here, from this tag and the one before alone."""
    before = tags[at - 1] if at else "O"
    if tags[at] == "O":
        return False
    return tags[at][0] in "BS" or before == "O" or before[0] in "ES" or before[2:] != tags[at][2:]


def evaluated(true: Sequence[Sequence[str]], guessed: Sequence[Sequence[str]]) -> tuple[int, int, int]:
    """Independent of `count_spans`: true, found and correct spans of tags with prefixes."""

    def all_spans(rows: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, int, str]]:
        for number, tags in enumerate(rows):
            for first in range(len(tags)):
                if begins(tags, first):
                    after = range(first + 1, len(tags))
                    last = next((at for at in after if tags[at] == "O" or begins(tags, at)), len(tags))
                    yield number, first, last, tags[first][2:]

    there, found = list(all_spans(true)), list(all_spans(guessed))
    return len(there), len(found), sum(span in found for span in there)


ANY_TAG = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in "AB")])
PAIR = st.integers(1, 9).flatmap(lambda n: st.tuples(*[st.lists(ANY_TAG, min_size=n, max_size=n)] * 2))


@given(st.lists(PAIR, max_size=6))
def test_counts_agree_with_a_second_implementation(pairs: list[tuple[list[str], list[str]]]) -> None:
    true, guessed = [one for one, _ in pairs], [other for _, other in pairs]
    every = total(count_spans(true, guessed, "BIES"))
    assert (every.true, every.found, every.correct) == evaluated(true, guessed)


def test_f1_by_hand() -> None:
    """Three true spans; four found, two of them correct: one has another kind, one is where none is."""
    true = [["B-A", "I-A", "O", "B-B", "O", "O"], ["B-A", "I-A", "I-A", "O"]]
    guessed = [["B-A", "I-A", "O", "B-A", "O", "B-B"], ["B-A", "I-A", "I-A", "O"]]
    counts = count_spans(true, guessed, "BI")
    assert counts == {"A": Counts(2, 3, 2), "B": Counts(1, 1, 0)}
    every = total(counts)
    assert (every.precision, every.recall) == (2 / 4, 2 / 3)
    assert every.f1 == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert Counts().f1 == Counts(3, 0, 0).f1 == Counts(3, 0, 0).precision == Counts(0, 2, 0).recall == 0.0


def test_figures_by_hand() -> None:
    """Two words of two letters and a blank: the tag is judged at the second letter."""
    one = tagged(["ab", "cd"], ["B-A", "O"])
    sequences = encoded([one], Vocabulary.build(one.text, "char"), ("B-A", "O"), "x")
    p = np.array([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5], [0.9, 0.1], [0.8, 0.2]])
    found = judge(sequences, ("B-A", "O"), [(0, np.log(p).astype(np.float32))])
    assert found.nats == pytest.approx(-np.log([0.1, 0.6, 0.5, 0.1, 0.2]).mean(), abs=1e-6)
    assert (found.tokens, found.words, found.accuracy) == (5, 2, 0.5)
    assert found.tags == {"B-A": Counts(1, 2, 1), "O": Counts(1, 0, 0)}
    assert found.spans == {"A": Counts(1, 2, 1)}


def test_a_marked_text() -> None:
    text = "Anna lives in Berlin (Mitte)."
    spans = [Span(0, 1, "PER"), Span(3, 4, "LOC"), Span(5, 6, "LOC")]
    assert marked(text, words_of(text), spans) == "[Anna PER] lives in [Berlin LOC] ([Mitte LOC])."
    assert marked("", [], []) == ""
