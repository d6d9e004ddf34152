"""Sequence tagging: files, tokens with a tag each, splits and padded batches, the generated sentences."""

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tagged import write_places

from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import datasets
from tuirnn.tasks.batches import IGNORE
from tuirnn.tasks.tag import data as tag
from tuirnn.tasks.tag.reading import CLOSING, OPENING, QUOTES, read, tagged, words_of
from tuirnn.tasks.tag.spans import find_spans
from tuirnn.training.losses import CrossEntropy
from tuirnn.vocab import Vocabulary


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Persons and places, in columns."""
    return write_places(tmp_path_factory.mktemp("data") / "places.conll")


def load(source: Path, **changes: Any) -> tag.TagData:
    return tag.load(DataConfig(task="tag", sources=(str(source),), **changes))


def words_and_tags(text: str, **changes: Any) -> list[list[tuple[str, str]]]:
    """What the reader finds in a file with this text."""
    found = read(text, "x", DataConfig(task="tag", **changes)).sequences
    return [[(one.text[a:b], label) for (a, b), label in zip(one.words, one.tags, strict=True)] for one in found]


# ── reading ──────────────────────────────────────────────────────────────────────


def test_columns_of_conll(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\nGerman JJ B-NP B-MISC\n. . O O\n\n\n"
        "# text = Peter Blackburn ( a # )\nPeter NNP B-NP B-PER\r\nBlackburn NNP I-NP I-PER\n( ( O O\na a O O\n"
        "# # O O\n) ) O O\n-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\nGerman JJ B-NP B-MISC\n"
        ". . O O\n"
    )
    (tmp_path / "b.conll").write_text("New York\t_\tB-LOC\nwins\t_\tO")
    config = DataConfig(task="tag", sources=(str(tmp_path / "a.conll"), str(tmp_path / "b.conll")))
    reading, name, _ = tag.read_sources(config)
    assert name == "a.conll and 1 more"
    assert [one.text for one in reading.sequences] == [
        "EU rejects German.", "Peter Blackburn (a #)", "EU rejects German.", "New York wins",
    ]  # fmt: skip
    assert reading.sequences[3].words == ((0, 8), (9, 13))
    assert tag.tags_of(reading) == ("B-LOC", "B-MISC", "B-ORG", "B-PER", "I-PER", "O")
    assert tag.load(config).notes[:3] == (
        "2 lines with -DOCSTART- left out",
        "1 comment lines left out",
        "1 duplicates left out, so that no text is in two splits",
    )


def test_conll_u() -> None:
    """The word's number comes first: word and part of speech are the second and the fourth column."""
    rows = ["# text = Wir gehen zum See", "1 Wir wir PRON", "2 gehen gehen VERB", "3-4 zum _ _", "3 zu zu ADP",
            "4 dem der DET", "4.1 x x X", "5 See See NOUN"]  # fmt: skip
    lines = [row if row.startswith("#") else "\t".join([*row.split(" "), *"_" * 6]) for row in rows]
    assert words_and_tags("\n".join(lines)) == [
        [("Wir", "PRON"), ("gehen", "VERB"), ("zu", "ADP"), ("dem", "DET"), ("See", "NOUN")]
    ]


def test_tables_of_words_and_of_symbols() -> None:
    assert words_and_tags('text,tags\n"Anna lives, here",B-PER O O\nBern,B-LOC\n') == [
        [("Anna", "B-PER"), ("lives,", "O"), ("here", "O")], [("Bern", "B-LOC")],
    ]  # fmt: skip
    symbols = read("structure;sequence\nHHE;ACD\nE;A\n", "x", DataConfig(label_column="structure"))
    assert symbols.symbols
    assert [(one.text, one.tags) for one in symbols.sequences] == [("ACD", ("H", "H", "E")), ("A", ("E",))]
    assert tag.tags_of(symbols) == ("E", "H")


BAD = {
    "one field": ("Anna B-PER\nlives\n", "line 2: 'lives' where a word and its tag are expected"),
    "no tag": ("a\tO\nb\t\n", "line 2: 'b'"),
    "no word": ("a\tO\n\tx\tO\n", "line 2: 'x"),
    "a plain text": ("Call me Ishmael\n\nSome\n", "line 3"),
    "too few tags": ("text,tags\na b c,O O O\na b,O\n", "line 3: 1 tags for 2 words"),
    "too many symbols": ("text,tags\nabc,XYX\nab,XYX\n", "line 3: 3 tags for 2 symbols"),
    "no text": ("text,tags\na b,O O\n,O\n", "line 3: 1 tags for 0 words"),
    "ragged": ("text,tags\na b,O O\na\n", "line 3: 1 fields where the header has 2"),
    "one tag": ("a O\n\nb O\n\nc O\n", "1 tag"),
    "nothing": ("\n# only a comment\n", "no tagged sequence"),
    "one sequence": ("a A\nb B\n", "1 sequences to split"),
    "too long": ("a O\n" * 60_000, "line 60001: a sequence of 119,999 characters"),
    "a text of long lines": ("\n\n".join(f"w{i} x t{i}" for i in range(50)), "51 different tags for 50 words"),
    "binary": ("a\0 O\n", "binary"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_get_one_clear_line(name: str, tmp_path: Path) -> None:
    text, said = BAD[name]
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path / "t.txt")
    assert str(caught.value).isprintable()


def test_mistakes_in_settings(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'tagz'; did you mean 'tags'"):
        words_and_tags("text,tags\na,O\n", label_column="tagz")
    with pytest.raises(DataError, match="both text and tags"):
        words_and_tags("a,b\na,O\n", text_column="b")
    (tmp_path / "symbols.csv").write_text("text,tags\nab,XY\n")
    with pytest.raises(DataError, match="tags single symbols; give --tokens char"):
        load(tmp_path / "symbols.csv", tokens="word")
    with pytest.raises(DataError, match="some files tag symbols"):
        tag.load(DataConfig(task="tag", sources=(str(tmp_path / "symbols.csv"), str(file))))
    with pytest.raises(DataError, match=r"the tag '[BI]-PER', which the network does not know; known: B-LOC, O"):
        tag.load(DataConfig(task="tag", sources=(str(file),)), known={"classes": ["O", "B-LOC"]})


SEEN = st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs"))
WORD = st.text(SEEN, min_size=1, max_size=6)
TAG = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])
ROWS = st.lists(st.lists(st.tuples(WORD, TAG), min_size=1, max_size=6), min_size=1, max_size=5)


@given(rows=ROWS, tabs=st.booleans(), middle=st.booleans(), end=st.sampled_from(["\n", "\r\n"]))
def test_columns_are_read_as_they_were_written(
    rows: list[list[tuple[str, str]]], tabs: bool, middle: bool, end: str
) -> None:
    blank = "\t" if tabs else " "
    lines = [[blank.join([word, *["_"] * middle, label]) for word, label in row] for row in rows]
    first = [line[0] for line in lines]
    text = (end * 2).join(end.join(line) for line in lines)
    if any(line.startswith(("# ", "-DOCSTART-")) for line in first):  # such lines hold no word
        return
    assert words_and_tags(text) == rows


@given(rows=ROWS)
def test_tables_are_read_as_they_were_written(rows: list[list[tuple[str, str]]]) -> None:
    if not any(len(row) > 1 for row in rows):
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["text", "tags"])
    writer.writerows([" ".join(w for w, _ in row), " ".join(t for _, t in row)] for row in rows)
    assert words_and_tags(text.getvalue()) == rows


@given(st.lists(st.sampled_from(["Anna", "is", "x-1", "a.b", "e@f.g", "14:30", *".,;:!?()[]{}", '"']), max_size=9))
def test_a_typed_text_has_the_words_that_its_sequence_had(words: list[str]) -> None:
    one = tagged(words, ["O"] * len(words))
    found = [one.text[a:b] for a, b in words_of(one.text)]
    split = [piece for word in words for piece in _pieces(word)]
    assert found == split


def _pieces(word: str) -> list[str]:
    return [word] if word.strip(CLOSING + OPENING + QUOTES) == word else list(word)


# ── tokens and batches ───────────────────────────────────────────────────────────


@given(rows=ROWS, kind=st.sampled_from(["char", "byte", "word"]))
def test_each_token_has_the_tag_of_its_word(rows: list[list[tuple[str, str]]], kind: str) -> None:
    classes = ("B-A", "B-B", "I-A", "I-B", "O")
    texts = [tagged([word for word, _ in row], [label for _, label in row]) for row in rows]
    vocab = Vocabulary.build(" ".join(one.text for one in texts), kind)
    found = tag.encoded(texts, vocab, classes, "x")
    for row, one, ids, tags, ends in zip(rows, texts, found.ids, found.tags, found.ends, strict=True):
        assert np.array_equal(ids, vocab.encode(one.text))
        assert len(ids) == len(tags)
        at = 0
        for number, (word, label) in enumerate(row):
            if at < len(ids) and vocab.decode(ids[at : at + 1]) == " " and one.text[one.words[number][0] - 1] == " ":
                assert classes[tags[at]] == "O"
                at += 1
            width = len(vocab.encode(word))
            assert [classes[i] for i in tags[at : at + width]] == [label] * width
            at += width
            assert ends[number] == at - 1
        assert at == len(ids)


def test_vocabulary_and_splits(file: Path) -> None:
    data = load(file, val_fraction=0.25, test_fraction=0.25)
    texts = Counter(one.text for split in (data.train, data.val, data.test) for one in split.texts)
    assert set(texts.values()) == {1}
    assert [len(split) for split in (data.train, data.val, data.test)] == [
        len(texts) - 2 * round(len(texts) / 4), round(len(texts) / 4), round(len(texts) / 4),
    ]  # fmt: skip
    words = load(file, tokens="word")
    known = set(words.vocab.symbols)
    assert known == {piece for one in words.train.texts for piece in Vocabulary.build(one.text, "word").symbols}
    assert any("unknown" in note for note in words.notes)  # every number is in one sentence alone
    small = load(file, fraction=0.5)
    assert len(small.train) + len(small.val) == round(len(texts) / 2)
    assert {one.text for one in small.val.texts} != {one.text for one in load(file, split_seed=1).val.texts}


def test_no_target_is_padding_and_an_epoch_resumes_exactly(file: Path) -> None:
    data, config = load(file), TrainConfig(batch_size=8)
    batches = data.batches(config)
    seen: Counter[bytes] = Counter()
    for _ in range(batches.batches_per_epoch):
        x, y, carry = batches.next()
        assert not carry.any()
        for tokens, targets in zip(x.T, y.T, strict=True):
            length = int((targets != IGNORE).sum())
            assert (targets[length:] == IGNORE).all()
            seen[tokens[:length].tobytes()] += 1
            (which,) = (i for i, ids in enumerate(data.train.ids) if np.array_equal(ids, tokens[:length]))
            assert np.array_equal(data.train.tags[which], targets[:length])
    assert set(seen.values()) == {1}
    again = data.batches(config)
    batches.next()
    again.restore(json.loads(json.dumps(batches.cursor())))
    for _ in range(2 * batches.batches_per_epoch):
        assert all(np.array_equal(a, b) for a, b in zip(batches.next(), again.next(), strict=True))


def test_no_loss_sees_padding(file: Path) -> None:
    data = load(file)
    by_length = np.argsort(data.train.lengths)
    which = [int(by_length[0]), int(by_length[-1])]
    _, y = data.train.padded(which)
    logits = torch.randn(*y.shape, data.outputs, requires_grad=True)
    loss = CrossEntropy()
    mean = loss(logits, torch.from_numpy(y))
    one_by_one = sum(
        float(
            torch.nn.functional.cross_entropy(
                logits.detach()[:n, column], torch.from_numpy(y[:n, column]), reduction="sum"
            )
        )
        for column, n in enumerate(data.train.lengths[which])
    )
    assert float(mean.detach()) == pytest.approx(one_by_one / int(data.train.lengths[which].sum()), abs=1e-6)
    mean.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[torch.from_numpy(y == IGNORE)].any()
    assert loss.weight(y) == data.train.lengths[which].sum()


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=600))
def test_all_are_judged_side_by_side(lengths: list[int]) -> None:
    groups = list(tag.side_by_side(np.array(lengths)))
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[i] for i in group)
        assert len(group) <= tag.SIDE_BY_SIDE
        assert len(group) == 1 or len(group) * longest <= tag.TOKENS_AT_ONCE


# ── the generated data ───────────────────────────────────────────────────────────


def test_no_value_of_the_generated_sentences_occurs_twice() -> None:
    reading = read(datasets.entities_columns(), "entities", DataConfig(task="tag"))
    values: Counter[tuple[str, str]] = Counter()
    for one in reading.sequences:
        for span in find_spans(one.tags, "BI"):
            values[span.kind, one.text[one.words[span.first][0] : one.words[span.last - 1][1]]] += 1
    assert set(values.values()) == {1}
    assert {kind for kind, _ in values} == {"PERSON", "DATE", "TIME", "MONEY", "MAIL", "FILE"}
    assert min(Counter(kind for kind, _ in values).values()) > 500
    assert len(reading.sequences) == 4_000
    assert datasets.fetch("entities") == datasets.fetch("entities")
