"""Texts of any length: encoded piece by piece as if at once, and kept so that nothing half-written is believed."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import LINE, Answer, train_small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuirnn import piecework, rolling
from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.tasks.lm import corpus, stretches
from tuirnn.tasks.lm import data as lm
from tuirnn.tasks.lm.corpus import coding, kept, parts, reading
from tuirnn.tasks.overlap import overlap
from tuirnn.tasks.windows import Shuffle
from tuirnn.vocab import Vocabulary, code_points

TEXTS = st.text(
    st.one_of(
        st.sampled_from("ab_ 9\n,éß中🙂\u0301"), st.characters(exclude_categories=("Cs",), exclude_characters="\0")
    )
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every text is kept on the disk, in a folder of this test, from its first byte, and read in small pieces."""
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(corpus, "IN_MEMORY", 0)
    monkeypatch.setattr(kept, "SETTLED", -1.0)
    return tmp_path / "cache" / "corpora"


def old(path: Path) -> Path:
    """A file that was last changed an hour ago."""
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def wanted(kind: str, **more: Any) -> reading.Wanted:
    return reading.Wanted(kind, **more)


# ── the same tokens ──────────────────────────────────────────────────────────────


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, kind=st.sampled_from(["char", "word", "byte"]), size=st.integers(1, 40), limit=st.integers(1, 8))
def test_pieces_give_what_the_whole_text_gives(text: str, kind: str, size: int, limit: int) -> None:
    """Against `Vocabulary.build` and `encode`, which see the text at once."""
    data = text.encode()
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    pieces = [*coding.regrouped(iter(cut), kind, size)]
    assert b"".join(pieces) == data
    if kind == "word":
        counts = coding.WordCounts(limit)
        for piece in pieces:
            counts.add(coding.count_words(piece))
        assert tuple(counts.commonest()) == Vocabulary.build(text, "word", limit).symbols
    if kind == "char":
        characters = coding.CharacterCounts()
        for piece in pieces:
            characters.add(coding.count_characters(piece))
        assert tuple(characters.commonest(10**6)[0]) == Vocabulary.build(text, "char").symbols
    vocab = Vocabulary.build(text[: len(text) // 2], kind, limit)
    found = [coding.encoder(vocab)(piece) for piece in pieces]
    ids = np.concatenate([np.zeros(0, np.int64), *(one.ids for one in found)])
    assert ids.tolist() == vocab.encode(text).tolist()
    if vocab.unk is not None:
        assert sum(one.unknown for one in found) == int((ids == vocab.unk).sum())
    if kind == "char":
        assert {symbol for one in found for symbol in one.strange} == set(vocab.unknown(text))
    read = "".join(p.tobytes().decode("utf-32-le") for p in code_points(vocab, ids, 3))
    assert read == vocab.decode(ids.tolist())


def test_rarest_words_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "MOST_WORDS", 100)
    counts = coding.WordCounts(10)
    for number in range(40):
        counts.add(([f"common{i}" for i in range(10)] + [f"rare{number}.{i}" for i in range(30)], [9] * 10 + [1] * 30))
    assert len(counts.counts) <= 130
    assert counts.forgotten > 900
    assert counts.commonest() == sorted(f"common{i}" for i in range(10))


def test_a_text_on_the_disk_is_that_in_memory(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.txt"
    path.write_text("".join(f"{i * i % 97} größer – {chr(0x4E00 + i % 300)}\n" for i in range(3000)))
    for kind in ("char", "word", "byte"):
        config = DataConfig(sources=(str(path),), tokens=kind)
        mapped = lm.load(config)
        again = lm.load(config)
        monkeypatch.setattr(corpus, "IN_MEMORY", 2**30)
        whole = lm.load(config)
        monkeypatch.setattr(corpus, "IN_MEMORY", 0)
        for data in (mapped, again):
            assert data.summary() == whole.summary()
            assert data.vocab == whole.vocab
            assert not data.train.flags.writeable
            assert data.train.itemsize == (2 if kind == "char" else 1 if kind == "byte" else whole.train.itemsize)
            assert np.array_equal(data.train, whole.train)
            assert np.array_equal(data.val, whole.val)
        assert whole.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len([one for one in cache.iterdir() if one.name != "known"]) == 3


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "cp1252", "utf-32-be"])
def test_other_encodings_are_converted_on_the_way(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PIECE", 101)
    text = "Ein größeres Stück, fünfmal.\n" * 300
    plain, path = tmp_path / "p.txt", tmp_path / "t.txt"
    plain.write_text(text)
    path.write_bytes((("\ufeff" if name == "utf-32-be" else "") + text).encode(name))
    found = lm.load(DataConfig(sources=(str(path), str(plain))))
    joined = found.vocab.decode([*found.train.tolist(), *found.val.tolist()])
    assert joined == text + "\n" + text
    assert [one["encoding"] for one in found.read["files"]] != ["utf-8", "utf-8"] or name == "utf-8-sig"
    assert any(path.name in note for note in found.notes)
    assert lm.load(DataConfig(sources=(str(path), str(plain)))).notes == found.notes


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.bin").write_bytes(b"text and " * 100 + b"\0\1\2" * 50)
    with pytest.raises(DataError, match=r"b\.bin is binary.*--tokens byte"):
        lm.load(DataConfig(sources=(str(tmp_path / "b.bin"),)))
    (tmp_path / "d.txt").write_bytes("größer und größer\n".encode() * 2000 + b"\xff and more\n")
    with pytest.raises(DataError, match="UTF-8 except for 1 places"):
        lm.load(DataConfig(sources=(str(tmp_path / "d.txt"),)))
    for name in ("utf-32", "punycode", "idna", "no such"):
        with pytest.raises(DataError):
            lm.load(DataConfig(sources=(str(tmp_path / "d.txt"),), encoding=name))
    replaced = lm.load(DataConfig(sources=(str(tmp_path / "d.txt"),), encoding="utf-8"))
    assert any("1 bytes have no character" in note for note in replaced.notes)


def test_rare_characters_are_unknown_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    common = "".join(map(chr, range(0x4E00, 0x4E00 + 1100))) * 20
    path.write_text(common + chr(0x1F600))
    found = lm.load(DataConfig(sources=(str(path),)))
    assert len(found.vocab) == 1101
    assert "1,101 different characters the 1,100 commonest are kept" in found.notes[0]
    assert "--vocab-size 1101 keeps all" in found.notes[0]
    assert int(found.val[-1]) == found.vocab.unk
    assert len(lm.load(DataConfig(sources=(str(path),), vocab_size=1101)).vocab) == 1102
    few = lm.load(DataConfig(sources=(str(path),), vocab_size=10))
    assert len(few.vocab) == 11


# ── what is kept ─────────────────────────────────────────────────────────────────


def test_files_that_did_not_change_are_not_read_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old(tmp_path / "t.txt") if (tmp_path / "t.txt").write_text(LINE * 200) else tmp_path
    config = DataConfig(sources=(str(path),))
    first = lm.load(config)

    def refuse(self: parts.Part, start: int = 0) -> Any:
        raise AssertionError("read again")

    with monkeypatch.context() as patched:
        patched.setattr(parts.Part, "is_blank", lambda self: False)
        patched.setattr(parts.Part, "raw", refuse)
        assert np.array_equal(lm.load(config).train, first.train)
        assert np.array_equal(lm.load(config, vocab=first.vocab, known=first.summary()).train, first.train)
    data = bytearray(path.read_bytes())
    data[5:6] = b"#"  # of the same size
    path.write_bytes(data)
    old(path)  # and the same age
    assert "#" in lm.load(config).vocab.symbols


def test_a_change_within_the_clocks_resolution_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SETTLED", 2.0)
    path = tmp_path / "t.txt"
    path.write_text(LINE * 200)
    lm.load(DataConfig(sources=(str(path),)))
    assert not (kept.folder() / "known").exists()


@pytest.mark.parametrize("how", ["cut", "longer", "other", "about", "gone"])
def test_a_damaged_copy_is_made_anew(how: str, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(LINE * 200)
    first = lm.load(DataConfig(sources=(str(path),)))
    wanted_ids = first.train.tolist()
    (place,) = (one for one in cache.iterdir() if one.name != "known")
    tokens = place / kept.TOKENS
    data = tokens.read_bytes()
    tokens.unlink()  # the first one goes on being mapped
    if how != "gone":
        tokens.write_bytes({"cut": data[:-9], "longer": data + b"0", "other": b"\xff" * len(data)}.get(how, data))
    if how == "about":
        (place / kept.ABOUT).write_text('{"dtype": "object", "tokens": 3}')
    assert lm.load(DataConfig(sources=(str(path),))).train.tolist() == wanted_ids == first.train.tolist()


def test_an_interrupted_build_leaves_nothing_that_is_believed(
    tmp_path: Path, cache: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.txt"
    path.write_text(LINE * 2000)
    code = (
        "import os, sys\n"
        "from tuirnn.tasks.lm import corpus, data\n"
        "from tuirnn.tasks.lm.corpus import coding, kept\n"
        "from tuirnn.settings.data import DataConfig\n"
        "corpus.IN_MEMORY = 0\n"
        "kept.publish = lambda *args: os.kill(os.getpid(), 9)\n"
        "data.load(DataConfig(sources=(sys.argv[1],)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = cache.iterdir()
    assert left.name.startswith(kept.ASIDE)
    assert (left / kept.TOKENS).stat().st_size
    monkeypatch.setattr(kept, "BEGINNING", -1.0)
    assert len(lm.load(DataConfig(sources=(str(path),))).train)
    assert not left.exists()


def test_the_oldest_go_first(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 30_000)
    for number in range(4):
        path = tmp_path / f"{number}.txt"
        path.write_text(f"{number} {LINE}" * 150)
        assert len(lm.load(DataConfig(sources=(str(path),))).train)
    assert (
        sum(file.stat().st_size for file in cache.rglob("*") if file.is_file() and "known" not in file.parts) < 45_000
    )


def test_a_disk_that_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path / "file"))
    (tmp_path / "t.txt").write_text(LINE * 200)
    with pytest.raises(DataError, match="set TUIRNN_DATA to another folder"):
        lm.load(DataConfig(sources=(str(tmp_path / "t.txt"),)))


def test_a_run_on_a_kept_text_has_the_bits_of_one_in_memory(
    tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    from tuirnn.runs import checkpoint

    def trained(name: str) -> bytes:
        paths = train_small(tmp_path / "runs", name, small_text, steps=6, eval_every=3)
        return checkpoint.load(paths, "last").files[checkpoint.MODEL]

    on_disk = trained("disk")
    monkeypatch.setattr(corpus, "IN_MEMORY", 2**30)
    assert trained("memory") == on_disk


def test_standard_input_is_read_once_and_kept_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SPOOLED_FROM", 100)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((LINE * 120).encode())))
    run = train_small(tmp_path / "runs", "piped", Path("-"), steps=2)
    assert run.stdin.read_bytes() == (LINE * 120).encode()
    record = json.loads(run.record.read_text())
    assert lm.load(DataConfig(sources=("-",)), known=record["data"], stdin=run.stdin).sha256 == record["data"]["sha256"]


def test_progress_is_said_when_it_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piecework, "SILENT", 0.0)
    with piecework.Progress("reading t.txt", 200) as progress:
        progress.add(50)
    assert capsys.readouterr().err.startswith("tuirnn: reading t.txt: 25 %, about ")


# ── copies ───────────────────────────────────────────────────────────────────────


@settings(max_examples=60)
@given(values=st.lists(st.integers(0, 3), max_size=60), length=st.integers(1, 12))
def test_equal_passages_have_equal_numbers(values: list[int], length: int) -> None:
    ids = np.array(values, np.uint8)
    sums = rolling.sums(ids)
    found = rolling.numbers(sums, length).tolist()
    passages = [tuple(values[at : at + length]) for at in range(len(values) - length + 1)]
    assert len(found) == len(passages)
    assert len(set(found)) == len(set(passages)) == len(set(zip(found, passages, strict=True)))
    assert found == rolling.numbers_at(sums, np.arange(len(passages)), length).tolist()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_a_sample_tells_the_share_of_a_long_text(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "SAMPLE", 2**12)
    draw = np.random.default_rng(1)
    train, val = (draw.integers(0, 60, n).astype(np.uint8) for n in (600_000, 300_000))
    copied = int(share * len(val))
    val[:copied] = train[1000 : 1000 + copied]
    assert stretches.copied(train, val) == pytest.approx(share, abs=5 * 0.5 / 2**6)


def test_what_is_left_without_copies(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    train, val = draw.integers(0, 60, 400_000), draw.integers(0, 60, 30_000)
    for at, length, where in ((5_000, 127, 10), (100_000, 9_000, 1_000), (390_000, 10_000, 12_000), (300_000, 63, 500)):
        train[at : at + length] = val[where : where + length]
    left = np.concatenate([*stretches.without(train, val)])
    assert len(train) - len(left) == pytest.approx(127 + 9_000 + 10_000, abs=3 * 2 * 63)
    assert stretches.copied(left, val) == 0.0
    kept_ = iter(train.tolist())
    assert all(token in kept_ for token in left.tolist()[:2_000])  # in the same order


def test_dedupe_makes_a_leaky_text_honest(tmp_path: Path, answer: Callable[..., Answer]) -> None:
    text = "".join(f"{i * 7919 % 10_007} " for i in range(6_000))
    path = tmp_path / "t.txt"
    path.write_text(text + text[3_000:9_000])
    words = [
        "train",
        str(path),
        "--steps",
        "1",
        "--hidden",
        "4",
        "--embed",
        "2",
        "--sample-length",
        "1",
        "--val-fraction",
        "0.15",
    ]
    refused = answer(*words)
    assert refused.code == 2
    assert "--dedupe" in refused.err
    done = answer(*words, "--dedupe")
    assert done.code == 0, done.err
    assert "note: --dedupe leaves out" in done.out
    data = lm.load(DataConfig(sources=(str(path),), dedupe=True, val_fraction=0.15))
    assert overlap(data) < 0.01
    assert np.array_equal(lm.load(DataConfig(sources=(str(path),), dedupe=True, val_fraction=0.15)).train, data.train)


# ── order and lanes ──────────────────────────────────────────────────────────────


@settings(max_examples=60)
@given(n=st.integers(1, 3000), seed=st.integers(0, 9))
def test_an_order_that_is_not_listed_has_every_number_once(n: int, seed: int) -> None:
    order = Shuffle(n, np.random.default_rng(seed))(np.arange(n))
    assert np.array_equal(np.sort(order), np.arange(n))
    if n > 500:
        assert np.mean(order[1:] == order[:-1] + 1) < 0.02


def test_lanes_predict_every_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from tuirnn.tasks.lm import prediction

    for n in (5_000, 5_001, 70_007):
        for count in (1, 2, 7):
            lanes = prediction._lanes(n, count, 100)
            counted = np.concatenate([np.arange(lane.start + lane.skip, lane.start + lane.length) for lane in lanes])
            assert np.array_equal(counted, np.arange(n))
            assert all(lane.skip == 100 for lane in lanes[1:])
