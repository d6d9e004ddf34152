"""The novelty meter against plain searching."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tuirnn.novelty import GRAM, Corpus


def plain(corpus: str, sample: str) -> tuple[float, int]:
    """Share of novel 8-grams and the longest match, by trying everything."""
    grams = [sample[k : k + GRAM] for k in range(len(sample) - GRAM + 1)]
    longest = max(
        (b - a for a in range(len(sample)) for b in range(a + GRAM, len(sample) + 1) if sample[a:b] in corpus),
        default=0,
    )
    return (sum(gram not in corpus for gram in grams) / len(grams) if grams else math.nan), longest


@settings(max_examples=300)
@given(st.text("ab", max_size=120), st.text("abc", max_size=60), st.integers(0, 40), st.integers(0, 60))
def test_equals_trying_everything(corpus: str, foreign: str, start: int, length: int) -> None:
    sample = foreign[:20] + corpus[start : start + length] + foreign[20:] + corpus[:start]
    found = Corpus(corpus).measure(sample)
    novel, longest = plain(corpus, sample)
    assert found.longest == longest
    assert found.novel == novel or (math.isnan(novel) and math.isnan(found.novel)) or abs(found.novel - novel) < 1e-12
    assert sample[found.start : found.start + longest] == corpus[found.source : found.source + longest]


@settings(max_examples=50)
@given(st.text(st.characters(), max_size=400), st.text(st.characters(), max_size=40))
def test_any_unicode(corpus: str, sample: str) -> None:
    found = Corpus(corpus).measure(sample + corpus[10:40])
    assert (found.novel, found.longest) == plain(corpus, sample + corpus[10:40]) or math.isnan(found.novel)


def test_large_alphabets_are_hashed() -> None:
    corpus = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
    found = Corpus(corpus).measure("abc" + corpus[1000:1050] + "xyz")
    assert (found.longest, found.start, found.source) == (50, 3, 1000)


def test_a_match_that_the_corpus_has_20_000_times() -> None:
    corpus = Corpus("the quick brown fox jumps over the lazy dog, " * 20_000)
    sample = ("the quick brown fox jumps over the lazy cat, " * 200)[:8000]
    assert corpus.measure(sample).longest == len(", the quick brown fox jumps over the lazy ")
