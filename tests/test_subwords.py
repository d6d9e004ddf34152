"""Byte-pair encoding: the merges are a plain table, splitting by it is exact and loses nothing."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import LINE, Answer, train_small
from hypothesis import given, settings
from hypothesis import strategies as st

from tuirnn import subwords
from tuirnn.errors import DataError
from tuirnn.runs.reader import read_record
from tuirnn.settings.data import DataConfig
from tuirnn.tasks.lm import data as lm
from tuirnn.tasks.lm.corpus import coding
from tuirnn.vocab import UNKNOWN, Vocabulary, code_points

TEXTS = st.text(st.sampled_from("ab cd\n\t9.7,é中🙂 "), max_size=200)
MERGES = subwords.learn(["a bab abab cab9 9.7 77 é éé中中 \n\n  ab" * 20], 300)


def plainly(data: bytes, merges: subwords.Merges) -> list[int]:
    """The definition, word for word: the first merge of the list that is there, from the left, until there is none."""
    ids = []
    for piece in subwords.PIECE.findall(data):
        tokens = list(piece)
        while pairs := [pair for pair in merges if pair in itertools.pairwise(tokens)]:
            at = next(i for i in range(len(tokens)) if (tokens[i], tokens[i + 1]) == pairs[0])
            tokens[at : at + 2] = [256 + merges.index(pairs[0])]
        ids += tokens
    return ids


@settings(max_examples=100)
@given(text=TEXTS, size=st.integers(1, 30))
def test_every_way_to_split_gives_the_same(text: str, size: int) -> None:
    """The definition, the loop in Python, `tokenizers`, and pieces of a long text."""
    vocab, data = Vocabulary("bpe", merges=MERGES), text.encode()
    wanted = plainly(data, MERGES)
    assert vocab.encode(text).tolist() == wanted
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    for fast in (True, False):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(coding, "installed", lambda fast=fast: fast)
            encode = coding.encoder(vocab)
            found = [encode(piece).ids for piece in coding.regrouped(iter(cut), "bpe", size)]
        assert [token for ids in found for token in ids.tolist()] == wanted
    assert b"".join(subwords.PIECE.findall(data)) == data
    assert vocab.decode(wanted) == text
    read = b"".join(points.tobytes() for points in code_points(vocab, np.array(wanted, np.uint16), 2))
    assert read.decode("utf-32-le") == text
    starts = vocab.starts(text).tolist()
    assert len(starts) == len(wanted)
    assert starts == sorted(starts)


def test_merges_are_few_and_whole() -> None:
    tokens = subwords.tokens_of(MERGES)
    assert len(tokens) == len(set(tokens)) == 256 + len(MERGES)
    assert b" ab" in tokens or b"ab" in tokens
    assert subwords.learn(["a bab abab cab9 9.7 77 é éé中中 \n\n  ab" * 20], 300) == MERGES
    assert Vocabulary("bpe", merges=MERGES).symbol(200) == UNKNOWN


@pytest.mark.parametrize(
    "merges", [[[97, 256]], [[97, 98], [97, 98]], [[97, -1]], [[97]], [["a", "b"]], "ab", [[True, 98]], [[97, 98.0]],
               [[97, 97], *([256 + i, 256 + i] for i in range(9))]],
)  # fmt: skip
def test_damaged_merges_are_refused(merges: object) -> None:
    with pytest.raises(DataError):
        Vocabulary.from_json({"kind": "bpe", "symbols": [], "merges": merges})
    with pytest.raises(DataError):
        Vocabulary("char", ("a",), ((97, 98),))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, small_text: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(DataError, match=r"pip install 'tuirnn\[bpe\]'"):
        lm.load(DataConfig(sources=(str(small_text),), tokens="bpe"))
    assert len(lm.load(DataConfig(sources=(str(small_text),)), vocab=Vocabulary("bpe", merges=MERGES)).train)


def test_merges_are_learned_from_the_training_part(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(LINE * 90 + "zyzzyva " * 300)
    data = lm.load(DataConfig(sources=(str(path),), tokens="bpe", val_fraction=0.3))
    tokens = subwords.tokens_of(data.vocab.merges)
    assert b" quick" in tokens
    assert not any(b"zyz" in token for token in tokens)
    assert data.vocab.decode([*data.train.tolist(), *data.val.tolist()]) == path.read_text()


def test_a_network_of_subwords_through_all_commands(
    tmp_path: Path, answer: Callable[..., Answer], small_text: Path
) -> None:
    """Train, resume, evaluate, write, export: the run and the cell file split a text in the same way."""
    runs = tmp_path / "runs"
    run = train_small(runs, "sub", small_text, tokens="bpe", vocab_size=320, steps=4)
    vocab = read_record(run).vocab
    assert len(vocab) <= 320
    assert vocab.merges
    for words in (["train", "--resume", "sub", "--steps", "6"], ["eval", "sub"], ["novelty", "sub", "-n", "40"]):
        done = answer(*words, "--runs", str(runs))
        assert done.code == 0, done.err
    cell = tmp_path / "sub.onnx"
    assert answer("export", "sub", "-o", str(cell), "--runs", str(runs)).code == 0
    written = json.loads((tmp_path / "sub.json").read_text())["tuirnn.vocab"]
    assert written["kind"] == "bpe"
    assert Vocabulary.from_json(written) == vocab
    one, two = (
        answer("generate", name, "-n", "30", "--runs", str(runs), "--prime", "the é", "--seed", "3")
        for name in ("sub", str(cell))
    )
    assert one.code == two.code == 0
    assert one.out == two.out
    more = answer("export", "sub", "--c", "--html", "--wasm", "-o", str(tmp_path / "c.onnx"), "--runs", str(runs))
    assert more.code == 0, more.err
    assert (tmp_path / "c-c" / "cell_subwords.h").exists()
    for words in (["--lines"], ["--batches", "lines"]):
        refused = answer("train", str(small_text), "--tokens", "bpe", *words)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
