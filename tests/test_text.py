"""Vocabularies, sources, splits and batches."""

import dataclasses
import functools
import hashlib
import http.server
import io
import json
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer, train_small
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.errors import ConfigError, DataError
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import datasets, sources, windows
from tuirnn.tasks.lm import data as lm
from tuirnn.vocab import KINDS, UNKNOWN, Vocabulary

# ── vocabularies ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"bpe"}))  # see test_subwords.py
@given(text=st.text(st.characters(codec="utf-8"), min_size=1))
def test_known_text_round_trips(kind: str, text: str) -> None:
    vocab = Vocabulary.build(text, kind)
    ids = vocab.encode(text)
    assert vocab.decode(ids) == text
    assert vocab.unknown(text) == []
    assert len(vocab) > ids.max() >= 0
    assert Vocabulary.from_json(vocab.to_json()) == vocab


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"bpe"}))  # see test_subwords.py
@given(known=st.text(min_size=1), text=st.text())
def test_any_text_encodes(kind: str, known: str, text: str) -> None:
    vocab = Vocabulary.build(known, kind)
    ids = vocab.encode(text)
    assert ids.dtype == np.int64
    assert ((ids >= 0) & (ids < len(vocab))).all()
    if kind == "char":
        assert len(ids) == len(text)
        assert set(vocab.unknown(text)) == set(text) - set(known)
        assert vocab.decode(ids) == "".join(ch if ch in known else UNKNOWN for ch in text)


def test_word_vocabulary_keeps_the_commonest() -> None:
    vocab = Vocabulary.build("a a a b b c", "word", limit=3)  # the space is the commonest of all
    assert set(vocab.symbols) == {" ", "a", "b"}
    assert vocab.unknown("c a") == ["c"]


@pytest.mark.parametrize(
    "value", [None, [], {"kind": "char", "symbols": ["ab"]}, {"kind": "rune"}, {"kind": "char", "symbols": ["a", "a"]},
              {"kind": "char", "symbols": [1]}, {"kind": "byte", "symbols": ["a"]}],
)  # fmt: skip
def test_damaged_vocabularies_are_refused(value: object) -> None:
    with pytest.raises(DataError):
        Vocabulary.from_json(value)


# ── sources ──────────────────────────────────────────────────────────────────────


def test_sources_join_files_folders_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("one")
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "b.txt").write_text("two")
    (folder / ".hidden").write_text("no")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"three")))
    source = sources.load((str(tmp_path / "a.txt"), str(folder), "-"))
    assert source.text() == "one\ntwo\nthree"


def test_the_embedded_text_is_there() -> None:
    source = sources.load(())
    assert len(source.text()) > 300_000


def test_a_file_wins_over_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shakespeare").write_text("mine")
    assert sources.load(("shakespeare",)).text() == "mine"


def test_bad_sources_say_what_to_do(tmp_path: Path) -> None:
    binary, latin, empty = tmp_path / "b.bin", tmp_path / "l.txt", tmp_path / "e.txt"
    binary.write_bytes(b"ab\0cd")
    latin.write_bytes("café".encode("latin-1"))
    empty.write_bytes(b" \n")
    with pytest.raises(DataError, match="--tokens byte"):
        lm.load(DataConfig(sources=(str(binary),)))
    assert sources.load((str(latin),)).text() == "café"
    for name, words in ((str(empty), "empty"), (str(tmp_path / "no"), "no file"), ("shakespear", "shakespeare")):
        with pytest.raises(DataError, match=words):
            sources.load((name,))
    assert len(lm.load(DataConfig(sources=(str(binary),), tokens="byte")).vocab) == 256


def test_a_data_set_is_checked_and_offline_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path))
    (tmp_path / "shakespeare.txt").write_text("forged")
    with pytest.raises(DataError, match="sha256"):
        datasets.fetch("shakespeare")
    (tmp_path / "shakespeare.txt").unlink()

    def unreachable(*args: object, **options: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(DataError, match="tuirnn train default"):
        datasets.fetch("shakespeare")


def test_a_download_is_kept_only_when_it_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"right"
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path / "cache"))
    good = datasets.Dataset(
        "t.txt", "https://example.org/t", __import__("hashlib").sha256(body).hexdigest(), len(body), ""
    )
    monkeypatch.setitem(datasets.DATASETS, "t", good)
    replies = [io.BytesIO(b"wrong"), io.BytesIO(body)]
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **options: replies.pop(0))
    with pytest.raises(DataError):
        datasets.fetch("t")
    assert not (tmp_path / "cache" / "t.txt").exists()
    assert datasets.fetch("t") == [("t", body)]
    assert datasets.fetch("t") == [("t", body)]  # from the cache: no third reply is there


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[str, bytes], str]]:
    """`served(name, body)`: puts a file on a server of this machine and returns its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()

        def serve(name: str, body: bytes) -> str:
            (folder / name).write_bytes(body)
            return f"http://127.0.0.1:{server.server_port}/{name}"

        yield serve
        server.shutdown()


def test_an_archive_of_one_file_is_downloaded_checked_and_split(
    served: Callable[[str, bytes], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `enwik8` is, from a server of this machine: `--tokens byte`, 90 % to train, 5 % and 5 % held out."""
    body = bytes(range(32, 127)) * 100
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path / "cache"))

    def dataset(member: str, **more: Any) -> datasets.Dataset:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("other", b"not this")
            archive.writestr(member, body)
        url = served(f"{member}{'-'.join(more)}.zip", packed.getvalue())
        usual = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(packed.getvalue())}
        return datasets.Dataset(**{"file": "t", "url": url, "about": "", "member": "t", **usual, **more})

    for wrong, why in (
        (dataset("else"), "holds no t"), (dataset("t", bytes=len(body) - 1), "could not be|holds more|no readable"),
        (dataset("t", sha256="0" * 64), "sha256"),
    ):  # fmt: skip
        monkeypatch.setitem(datasets.DATASETS, "t", wrong)
        with pytest.raises(DataError, match=why):
            datasets.fetch("t")
        assert not (tmp_path / "cache" / "t").exists()
    monkeypatch.setitem(datasets.DATASETS, "t", dataset("t"))
    config = DataConfig(sources=("t",), tokens="byte", val_fraction=0.05, test_fraction=0.05)
    for _ in range(2):  # downloaded, then from the cache
        found = lm.load(config)
        assert bytes(np.concatenate((found.train, found.test, found.val)).astype(np.uint8)) == body
        assert [len(part) for part in (found.train, found.test, found.val)] == [8550, 475, 475]
        assert found.spelling is not None
        assert found.spelling.bits(1.0) == pytest.approx(1 / np.log(2))


def test_a_text_in_parts_is_downloaded_checked_and_cut_as_published(
    served: Callable[[str, bytes], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `ptb-char` is: three files, each with its hash, a blank before each line that is no character of it."""
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path / "cache"))
    bodies = {name: b"".join(b" %s line %d \n" % (name[:1].encode(), i) for i in range(n)) for name, n in
              (("train.txt", 300), ("valid.txt", 30), ("test.txt", 20))}  # fmt: skip
    for name, body in bodies.items():
        address = served(name, body)
    texts = {name: body.replace(b"\n ", b"\n")[1:].decode() for name, body in bodies.items()}
    parts = tuple((name, datasets.git_hash(body)) for name, body in bodies.items())
    held = (len(texts["valid.txt"]), len(texts["test.txt"]))
    good = datasets.Dataset(
        "t", address.removesuffix("test.txt"), "", sum(map(len, bodies.values())), "", parts=parts, published=held,
        tokens=("char",),
    )  # fmt: skip
    monkeypatch.setitem(datasets.DATASETS, "t", dataclasses.replace(good, parts=(("train.txt", "0" * 40), *parts[1:])))
    with pytest.raises(DataError, match=r"another train\.txt"):
        datasets.fetch("t")
    assert not (tmp_path / "cache" / "t").exists()
    monkeypatch.setitem(datasets.DATASETS, "t", good)
    for _ in range(2):  # downloaded, then from the cache
        found = lm.load(DataConfig(sources=("t",), split="published"))
        read = [found.vocab.decode(part) for part in (found.train, found.val, found.test)]
        assert read == list(texts.values())
    assert {file.name: file.read_bytes() for file in (tmp_path / "cache" / "t").iterdir()} == bodies
    (tmp_path / "cache" / "t" / "valid.txt").write_bytes(b"forged")
    with pytest.raises(DataError, match=r"another valid\.txt"):
        datasets.fetch("t")


def test_the_published_cut_is_of_certain_data_sets_alone(small_text: Path) -> None:
    with pytest.raises(DataError, match="--split published is for one of enwik8, text8, ptb-char"):
        lm.load(DataConfig(sources=(str(small_text),), split="published"))
    with pytest.raises(DataError, match="cuts enwik8 in bytes; give --tokens byte"):
        datasets.published(("enwik8",), "char")
    with pytest.raises(ConfigError, match="leave out --val-fraction, --fraction"):
        DataConfig(split="published", val_fraction=0.05, fraction=0.5)
    for name in ("enwik8", "text8", "ptb-char"):
        assert sum(datasets.published((name,), datasets.DATASETS[name].tokens[0])) < datasets.DATASETS[name].bytes / 5


# ── splits ───────────────────────────────────────────────────────────────────────


@given(n=st.integers(1, 3000), val=st.floats(0.01, 0.5), test=st.floats(0.0, 0.4))
def test_splits_are_contiguous_and_disjoint(n: int, val: float, test: float) -> None:
    ids = np.arange(n)
    train, tested, held = lm.split(ids, DataConfig(val_fraction=val, test_fraction=test))
    joined = np.concatenate([train, tested, held])
    assert (joined == ids[len(ids) - len(joined) :]).all()
    assert len(joined) == n


# ── batches ──────────────────────────────────────────────────────────────────────


@st.composite
def batch_settings(draw: st.DrawFn) -> tuple[int, TrainConfig]:
    """A text's length and settings that it can fill."""
    T = draw(st.integers(1, 20))
    n = draw(st.integers(T + 1, 400))
    kind = draw(st.sampled_from(sorted(lm.BATCHES)))
    return n, TrainConfig(batches=kind, seq_len=T, batch_size=draw(st.integers(1, 50)), seed=draw(st.integers(0, 99)))


@given(batch_settings(), st.integers(0, 30), st.integers(1, 30))
def test_batches_predict_the_next_token_and_resume_exactly(
    settings: tuple[int, TrainConfig], before: int, after: int
) -> None:
    n, config = settings
    ids = np.arange(n, dtype=np.int64)
    batches = lm.BATCHES[config.batches](ids, config, newline=0)
    for _ in range(before):
        x, y, carry = batches.next()
        assert x.shape == y.shape == (config.seq_len, batches.B)
        assert (y == x + 1).all()  # the text counts up, so the next token is one more
        assert carry.shape == (batches.B,)
    cursor = batches.cursor()
    expected = [batches.next() for _ in range(after)]
    again = lm.BATCHES[config.batches](ids, config, newline=0)
    again.restore(cursor)
    for got, wanted in zip([again.next() for _ in range(after)], expected, strict=True):
        assert all((a == b).all() for a, b in zip(got, wanted, strict=True))


@given(batch_settings())
def test_carried_lanes_continue(settings: tuple[int, TrainConfig]) -> None:
    n, config = settings
    batches = windows.StreamBatches(np.arange(n, dtype=np.int64), config)
    x, _, carry = batches.next()
    assert not carry.any()
    for _ in range(10):
        following, _, carry = batches.next()
        assert (following[0][carry > 0] == x[-1][carry > 0] + 1).all()
        x = following


def test_windows_visit_every_start_once_an_epoch() -> None:
    config = TrainConfig(batches="windows", seq_len=3, batch_size=5)
    batches = windows.WindowBatches(np.arange(28, dtype=np.int64), config)
    starts = np.concatenate([batches.next()[0][0] for _ in range(batches.batches_per_epoch)])
    assert sorted(starts) == list(range(25))


def test_a_text_shorter_than_a_sequence_is_refused() -> None:
    with pytest.raises(DataError, match="--seq-len"):
        windows.StreamBatches(np.arange(10, dtype=np.int64), TrainConfig(seq_len=10))


def test_eval_measures_the_test_part_beside_the_validation_part(
    small_text: Path, answer: Callable[..., Answer], tmp_path: Path
) -> None:
    text = small_text.read_text()
    train_small(tmp_path / "runs", "cut", small_text, test_fraction=0.2)
    said = answer("eval", "cut", "--runs", "runs").out
    assert said.index("on its validation split") < said.index("on its test split")
    found = json.loads(answer("eval", "cut", "--runs", "runs", "--json").out)
    n = len(text)
    (tmp_path / "part.txt").write_text(text[n - round(0.1 * n) - round(0.2 * n) : n - round(0.1 * n)])
    alone = json.loads(answer("eval", "cut", "--runs", "runs", "--text", "part.txt", "--json").out)
    assert found["test"] == {key: alone[key] for key in found["test"]}
    assert found["nats"] != alone["nats"]
