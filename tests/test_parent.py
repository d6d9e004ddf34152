"""A run that begins with the weights of another: `tuirnn train --from RUN`."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import LINE, Answer, train_small
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

import tuirnn
from tuirnn.errors import DataError, RunError
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.parent import NETWORK, Parent
from tuirnn.runs.reader import LogTail, read_record
from tuirnn.vocab import Vocabulary

OTHER = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich; so sagt man.\n"
QUICK = ("--steps", "4", "--eval-every", "2", "--device", "cpu")


def weights(paths: RunPaths, step: int | str = "last") -> dict[str, Any]:
    return load(checkpoint.load(paths, str(step)).files[checkpoint.MODEL])


def notes(paths: RunPaths) -> str:
    return "\n".join(str(event["message"]) for event in LogTail(paths.events).read() if event["event"] == "note")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A text with characters of its own."""
    path = tmp_path / "deich.txt"
    path.write_text("".join(f"{i} {OTHER}" for i in range(60)), encoding="utf-8")
    return path


# ── vocabularies ─────────────────────────────────────────────────────────────────


@given(st.sampled_from(["char", "word", "byte"]), st.text(), st.text())
def test_a_grown_vocabulary_keeps_every_id(kind: str, old: str, new: str) -> None:
    first, second = Vocabulary.build(old, kind), Vocabulary.build(new, kind)
    grown = first.grown(second)
    assert grown.symbols[: len(first.symbols)] == first.symbols
    assert np.array_equal(grown.encode(old), first.encode(old))
    assert grown.unknown(old) == grown.unknown(new) == []
    there = grown.ids_in(first)
    assert len(there) == len(grown)
    for text in (old, new):
        assert np.array_equal(there[grown.encode(text)], first.encode(text))


# ── what is taken over ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("changes", [
    {}, {"embed": 0, "cell": "gru"}, {"embed": 24, "tied": True, "layers": 2}, {"tokens": "byte"}, {"tokens": "word"},
    {"tokens": "bpe", "vocab_size": 270},
    {"projection": 8, "dtype": "float64"},
], ids=str)  # fmt: skip
def test_the_network_begins_as_it_was(
    changes: dict[str, Any], trained: Callable[..., RunPaths], answer: Callable[..., Answer], other: Path
) -> None:
    """The checkpoint of step 0 answers as the parent did, whatever symbols have come to the vocabulary."""
    parent = trained(**changes)
    done = answer("train", str(other), "--from", str(parent.root), "--name", "child", *QUICK, "--keep", "9")
    assert done.code == 0, done.err
    child = RunPaths(other.parent / "checkpoints" / "child")
    record, before = read_record(child), read_record(parent)
    saved = checkpoint.load(parent, "best")
    assert record.parent == {"run": parent.name, "step": saved.step, "manifest": saved.manifest}
    old, new = weights(parent, "best"), weights(child, 0)
    assert old.keys() == new.keys()
    rows = record.vocab.ids_in(before.vocab)
    for name, value in new.items():
        first = name == "embedding.weight" or name.startswith("head.")
        if name == "layers.0.weight_ih" and not record.config.model.embed:
            assert np.array_equal(value, old[name][:, rows])
        else:
            assert np.array_equal(value, old[name][rows] if first else old[name])
    if changes and changes.get("tokens") not in ("byte", "bpe"):
        return
    one = tuirnn.load(parent.root, tuirnn.TextCell)
    two = tuirnn.load(child.root, tuirnn.TextCell, checkpoint=0)
    for token in before.vocab.encode(LINE)[:12]:
        symbols = len(before.vocab.symbols) or len(before.vocab)
        expected, found = one.step(int(token)), two.step(int(token))
        np.testing.assert_allclose(found[:symbols], expected[:symbols], atol=1e-5)
    assert not np.array_equal(weights(child)["layers.0.weight_hh"], new["layers.0.weight_hh"]), "it has learned"


def test_what_is_said_and_shown(
    trained: Callable[..., RunPaths], answer: Callable[..., Answer], other: Path, small_text: Path
) -> None:
    parent = trained()
    folder = other.parent / "checkpoints"
    assert answer("train", str(other), "--from", str(parent.root), "--name", "child", *QUICK).code == 0
    said = notes(RunPaths(folder / "child"))
    assert f"begins with the weights of run '{parent.name}' at step" in said
    assert "and with a fresh optimizer" in said
    assert re.search(r"the vocabulary of run '.*' grows from 32 to 51 characters: '0', '1', .* and 11 more; they", said)
    shown = answer("runs", "show", "child").out
    assert re.search(rf"^begun from +run {parent.name}, step \d+$", shown, re.MULTILINE)
    assert json.loads(answer("runs", "show", "child", "--json").out)["parent"]["run"] == parent.name
    assert "begun from" not in answer("runs", "show", str(parent.root)).out
    settings = read_record(RunPaths(folder / "child")).config
    had = read_record(parent).config
    assert settings.model == had.model
    assert (settings.train.batch_size, settings.train.seq_len) == (had.train.batch_size, had.train.seq_len)
    assert settings.data.sources == (str(other),)
    # once more, from the child: nothing is new to it
    assert answer("train", str(other), "--from", "child", "--name", "third", *QUICK, "--seed", "4").code == 0
    assert "the vocabulary of run 'child' is kept" in notes(RunPaths(folder / "third"))
    # resumed, it goes on as any run
    assert answer("train", "--resume", "third", "--steps", "6").code == 0
    assert read_record(RunPaths(folder / "third")).parent is not None


@pytest.mark.skipif(not os.environ.get("TUIRNN_LONG"), reason="six seconds; TUIRNN_LONG=1 runs it")
def test_processes_share_the_first_weights(
    trained: Callable[..., RunPaths], other: Path, answer: Callable[..., Answer]
) -> None:
    parent = trained()
    for name, parts in (("two", ["--processes", "2"]), ("one", ["--accumulate", "2"])):
        words = ["train", str(other), "--from", str(parent.root), "--name", name, *QUICK, *parts]
        command = [sys.executable, "-m", "tuirnn", *words]
        done = subprocess.run(command, cwd=other.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    one, two = (weights(RunPaths(other.parent / "checkpoints" / name)) for name in ("one", "two"))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_from_in_python_is_that_of_the_command(
    trained: Callable[..., RunPaths], answer: Callable[..., Answer], other: Path
) -> None:
    parent = trained()
    run = tuirnn.train(other, from_run=tuirnn.Run(parent.root), name="ours", steps=4, eval_every=2, device="cpu")
    assert answer("train", str(other), "--from", str(parent.root), "--name", "theirs", *QUICK).code == 0
    theirs = tuirnn.Run("theirs")
    assert run.parent == theirs.parent
    assert np.array_equal(run.metrics("train")["loss"], theirs.metrics("train")["loss"])


# ── what is refused ──────────────────────────────────────────────────────────────

OTHERWISE = {
    "cell": "gru", "hidden": "12", "layers": "2", "embed": "4", "residual": None, "projection": "4", "tied": None,
    "nonlinearity": "relu", "reset": "before", "task": "classify", "tokens": "word",
}  # fmt: skip


@pytest.mark.parametrize("setting", NETWORK)
def test_the_network_cannot_change(
    setting: str, trained: Callable[..., RunPaths], answer: Callable[..., Answer], other: Path
) -> None:
    value = OTHERWISE[setting]
    given = [f"--{setting}"] if value is None else [f"--{setting}", value]
    done = answer("train", str(other), "--from", str(trained(embed=8).root), *given, *QUICK)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "with --from" in done.err or "has no effect" in done.err or "--tied needs" in done.err
    assert not (other.parent / "checkpoints").exists()


@pytest.mark.parametrize(("given", "said"), [
    (("--init-std", "0.1"), "--init-std has no effect with --from, which draws no weights"),
    (("--recipe", "demo"), "--from takes its settings from the run it names; it takes no --recipe"),
    (("--resume", "x"), "no run 'x'"),
])  # fmt: skip
def test_what_does_not_go_with_from(
    given: tuple[str, ...], said: str, trained: Callable[..., RunPaths], answer: Callable[..., Answer], other: Path
) -> None:
    done = answer("train", str(other), "--from", str(trained().root), *given)
    assert done.code == 2
    assert said in done.err


def test_a_run_that_was_trained_on_what_is_held_out_is_a_leak(answer: Callable[..., Answer], tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    text = " ".join("".join(draw.choice(list("abcdefgh"), 5)) for _ in range(3_000))
    (tmp_path / "whole.txt").write_text(text)
    (tmp_path / "part.txt").write_text(text[: len(text) // 2])
    train_small(tmp_path / "checkpoints", "whole", tmp_path / "whole.txt", steps=2)
    again = ("--from", "whole", *QUICK)
    refused = answer("train", "part.txt", *again)
    assert refused.code == 2
    assert "of what part.txt holds out occurs word for word in what run 'whole' was trained on" in refused.err
    assert answer("train", "part.txt", *again, "--allow-leak", "--name", "leaky").code == 0
    assert tuirnn.Run("leaky").record.leaky
    assert answer("train", "whole.txt", *again, "--name", "same").code == 0, "the same part is held out as before"
    assert not tuirnn.Run("same").record.leaky
    (tmp_path / "new.txt").write_text("".join(draw.choice(list("abcdefgh "), 8_000)))
    assert answer("train", "new.txt", *again, "--name", "second").code == 0
    refused = answer("train", "part.txt", "--from", "second", *QUICK)
    assert "was trained on" in refused.err, "its grandparent's text counts as well"
    (tmp_path / "whole.txt").unlink()
    assert answer("train", "part.txt", *again, "--name", "blind").code == 0
    assert "whether run 'whole' was trained on what is held out here is not known" in notes(tuirnn.Run("blind").paths)


def test_a_run_without_its_first_checkpoint_is_not_begun_from_nothing(
    trained: Callable[..., RunPaths], answer: Callable[..., Answer], other: Path
) -> None:
    assert answer("train", str(other), "--from", str(trained().root), "--name", "child", *QUICK).code == 0
    child = RunPaths(other.parent / "checkpoints" / "child")
    for step in checkpoint.steps(child):
        shutil.rmtree(child.step(step))
    done = answer("train", "--resume", "child", "--steps", "9")
    assert done.code == 2
    assert "ended before it had the weights of run" in done.err


def test_standard_input_is_read_once(
    trained: Callable[..., RunPaths], answer: Callable[..., Answer], other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(other.read_bytes())))
    assert answer("train", "-", "--from", str(trained().root), "--name", "child", *QUICK).code == 0
    child = RunPaths(other.parent / "checkpoints" / "child")
    assert child.stdin.read_bytes() == other.read_bytes()
    assert answer("train", "--resume", "child", "--steps", "6").code == 0
    refused = answer("train", "--from", "child", *QUICK)
    assert (refused.code, "has read standard input; name what" in refused.err) == (2, True)


def test_a_damaged_parent_is_told(run: RunPaths, other: Path) -> None:
    parent = Parent.read(run)
    data = parent.load(parent.config({"sources": (str(other),)}))
    with pytest.raises(RunError, match="other weights than run"):
        parent.weights({"head.weight": np.zeros((3, 3), np.float32)}, data)


# ── other tasks ──────────────────────────────────────────────────────────────────


def test_classes_keep_their_rows_by_name(answer: Callable[..., Answer], tmp_path: Path) -> None:
    for name, classes in (("old", ("low", "high")), ("new", ("zero", "low"))):
        rows = [f"{'aeio'[i % 4] * (i % 5 + 1)}{i},{kind}" for i in range(40) for kind in [classes[i % 2]]]
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    small = ("--task", "classify", "--hidden", "8", "--embed", "4", "--batch-size", "4", *QUICK)
    assert answer("train", "old.csv", "--name", "old", *small).code == 0
    assert answer("train", "new.csv", "--from", "old", "--name", "new", *QUICK).code == 0
    old, new = (RunPaths(tmp_path / "checkpoints" / name) for name in ("old", "new"))
    assert (read_record(old).data["classes"], read_record(new).data["classes"]) == (["high", "low"], ["low", "zero"])
    before, after = weights(old, "best"), weights(new, 0)
    assert np.array_equal(after["head.weight"][0], before["head.weight"][1])
    assert not any(np.array_equal(after["head.weight"][1], row) for row in before["head.weight"])
    said = notes(new)
    assert "classes that run 'old' does not know begin anew: zero" in said
    assert "classes of run 'old' that new.csv lacks are dropped: high" in said


def test_a_series_of_another_width_is_refused(answer: Callable[..., Answer], tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name, width in (("two", 2), ("again", 2), ("three", 3)):
        head = ",".join(f"{name}{i}" for i in range(width))
        np.savetxt(tmp_path / f"{name}.csv", draw.normal(size=(200, width)), delimiter=",", header=head, comments="")
    small = ("--task", "forecast", "--hidden", "8", "--seq-len", "8", "--batch-size", "4", *QUICK)
    assert answer("train", "two.csv", "--name", "two", *small).code == 0
    assert answer("train", "again.csv", "--from", "two", "--name", "again", *QUICK).code == 0
    assert read_record(RunPaths(tmp_path / "checkpoints" / "again")).data["columns"] == ["again0", "again1"]
    done = answer("train", "three.csv", "--from", "two", *QUICK)
    assert done.code == 2
    assert "three.csv has 3 columns to learn, run 'two' 2; choose as many with --columns" in done.err
    with pytest.raises(DataError, match="choose as many with --columns"):
        tuirnn.train("three.csv", from_run="two", steps=2)
