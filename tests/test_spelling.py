"""Losses of different vocabularies: shares of unknown symbols, and bits per character."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer, train_small
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.comparison import Compared, common, groups, results
from tuirnn.runlog.feed import RunFeed
from tuirnn.runs.listing import summarize
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.settings.data import DataConfig
from tuirnn.tasks.lm import data as lm
from tuirnn.tasks.lm.spelling import Spelling, of_tail, of_tokens
from tuirnn.vocab import Vocabulary

TEXTS = st.text(st.sampled_from("aabbc d\n.é日x"), min_size=2, max_size=60)


def slow(vocab: Vocabulary, text: str) -> Spelling:
    """The same, symbol by symbol."""
    symbols = [chr(byte) for byte in text.encode()] if vocab.kind == "byte" else list(text)
    symbols = vocab.words(text) if vocab.kind == "word" else symbols
    if vocab.kind == "byte":
        first = text.encode()[1:]
        return Spelling(len(symbols) - 1, sum(byte & 0xC0 != 0x80 for byte in first))
    strange = [symbol for symbol in symbols[1:] if symbol not in vocab.symbols]
    sizes = [len(symbol.encode()) for symbol in strange]
    return Spelling(len(symbols) - 1, sum(map(len, symbols[1:])), len(strange), sum(sizes))


@given(TEXTS, st.sampled_from(["char", "byte", "word"]), TEXTS)
def test_a_spelling_is_what_counting_gives(text: str, kind: str, learned: str) -> None:
    vocab = Vocabulary.build(learned, kind, 3)
    assert of_tokens(vocab, vocab.encode(text), text) == slow(vocab, text)


@given(TEXTS, st.sampled_from(["char", "byte", "word"]), TEXTS, st.integers(1, 30))
def test_that_of_the_last_tokens_is_that_of_their_text(text: str, kind: str, learned: str, last: int) -> None:
    vocab = Vocabulary.build(learned, kind, 3)
    ids = vocab.encode(text)
    if kind == "byte":
        return
    pieces = vocab.words(text) if kind == "word" else list(text)
    last = min(last, len(ids))
    assert of_tail(vocab, ids[-last:], text) == slow(vocab, "".join(pieces[-last:]))
    cut = "".join(pieces[: len(pieces) // 2 + 1])
    kept = ids[: len(pieces) // 2 + 1]
    assert of_tail(vocab, kept[-last:], text, len(kept)) == slow(vocab, "".join(vocab.words(cut)[-last:])) or (
        kind == "char"
    )


def test_bits_of_all_vocabularies_are_the_same_for_the_same_probabilities() -> None:
    """A model that spends 2 bits on each character, whatever its tokens are."""
    text = "the cat sat. " * 20
    for kind in ("char", "byte", "word"):
        vocab = Vocabulary.build(text, kind)
        spelled = of_tokens(vocab, vocab.encode(text), text)
        nats = 2 * math.log(2) * spelled.characters / spelled.tokens
        assert spelled.bits(nats) == pytest.approx(2)
    assert Spelling(10, 40, 5, 20).bits(0.0) == 4  # all that is unknown has to be spelled


def test_a_vocabulary_of_two_does_not_look_best(tmp_path: Path) -> None:
    """Nearly all of its tokens are unknown, which is easy to predict: its loss is the lowest, its bits are not."""
    (tmp_path / "t.txt").write_text("the old man said it is late so go home now my son and sleep\n" * 60)
    runs = {
        name: train_small(tmp_path / "runs", name, tmp_path / "t.txt", eval_every=20, **changes)
        for name, changes in (
            ("two", {"tokens": "word", "vocab_size": 2}),
            ("words", {"tokens": "word"}),
            ("chars", {}),
        )
    }
    losses = {name: read_status(paths).best_val_loss for name, paths in runs.items()}
    bits = {name: read_status(paths).figure("bits") for name, paths in runs.items()}
    assert min(losses, key=losses.__getitem__) == "two"
    assert max(bits, key=bits.__getitem__) == "two"
    spelled = Spelling.from_json(read_record(runs["two"]).data["val_spelling"])
    assert spelled is not None
    assert 0.3 < spelled.share < 0.6  # blanks are known
    assert bits["chars"] == pytest.approx(losses["chars"] / math.log(2))
    compared = []
    for paths in runs.values():
        feed = RunFeed(paths)
        while feed.advance():
            pass
        compared.append(Compared(summarize(paths), feed.snapshot))
    assert len(groups(compared)) == 3  # no two share an axis
    shared = common(groups(compared))
    assert shared is not None
    (row,) = shared[1]
    assert row.name == "bits per character (bits/char) ↓"
    assert 0 not in row.best
    assert not shared[0].mixed


def test_training_and_eval_say_how_much_is_unknown(answer: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("the old man said it is late so go home now my son and sleep\n" * 60)
    small = ("--hidden", "8", "--steps", "4", "--batch-size", "4", "--seq-len", "8", "--name", "w")
    done = answer("train", "t.txt", "--tokens", "word", "--vocab-size", "5", *small)
    assert done.code == 0, done.err
    assert "note: of the validation part, 40 % of the 179 tokens are unknown; in bits per character" in done.out
    assert "bits/char" in done.out
    shown = answer("eval", "w").out
    assert "bits per character, carried" in shown
    assert "each of their bytes counts 8 bits" in shown
    told = json.loads(answer("eval", "w", "--json").out)
    assert told["unknown_share"] > 0.3
    other = json.loads(answer("eval", "w", "--text", "t.txt", "--json").out)
    assert other["bits_per_character"] > other["nats"]
    said = " ".join(answer("runs", "show", "w").out.split())  # lines are as wide as the terminal
    assert "bits per character" in said, said


def test_runs_on_other_data_are_said_to_be_so(tmp_path: Path, small_text: Path) -> None:
    (tmp_path / "other.txt").write_text(small_text.read_text().upper())
    one = train_small(tmp_path / "runs", "one", small_text)
    two = train_small(tmp_path / "runs", "two", tmp_path / "other.txt")
    cut = train_small(tmp_path / "runs", "cut", small_text, val_fraction=0.2)
    for others, mixed in (((one, two), True), ((one, cut), True), ((one, one), False)):
        compared = []
        for paths in others:
            feed = RunFeed(paths)
            while feed.advance():
                pass
            compared.append(Compared(summarize(paths), feed.snapshot))
        (group,) = groups(compared)
        assert group.mixed == mixed
        assert bool(group.notes) == mixed
        assert not (mixed and any(row.best for row in results(group)))
    assert (
        "different data (one: fox.txt; two: other.txt)"
        in groups([Compared(summarize(paths), RunFeed(paths).snapshot) for paths in (one, two)])[0].notes[0]
    )


def test_old_logs_without_it_are_compared_as_before(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "one", small_text)
    for record in LogTail(paths.metrics).read():
        assert ("bits" in record) == (record["split"] == "val")
    record = json.loads(paths.record.read_text())
    del record["data"]["val_spelling"]
    paths.record.write_text(json.dumps(record))
    assert lm.load(DataConfig(sources=(str(small_text),)), known=record["data"]).spelling is not None
