"""Sequence tagging: the road from a file to a trained network, a cell file and a marked text."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import train_small
from tagged import write_places

from tuirnn.export.exporter import export_run
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.runtime.data import run_data
from tuirnn.runtime.judge import TextJudge
from tuirnn.runtime.opened import opened
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.timeline import Timeline
from tuirnn.tasks.tag import data as tag
from tuirnn.tasks.tag.judging import judge
from tuirnn.tasks.tag.prediction import answers, mark, measure
from tuirnn.training import launch
from tuirnn.training.events import Event
from tuirnn.training.learner import build_model
from tuirnn.training.tasks.tag import padded_logits


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Persons and places, in columns."""
    return write_places(tmp_path_factory.mktemp("data") / "places.conll")


@pytest.fixture(scope="module")
def places(file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A tagger that has learned them letter by letter."""
    return train_small(
        tmp_path_factory.mktemp("runs"), "places", file, task="tag", hidden=24, steps=150, eval_every=50,
        checkpoint_every=50, batch_size=16, lr=0.02, test_fraction=0.2, dropout=0.0,
    )  # fmt: skip


def test_it_learns_what_there_is_to_learn(places: RunPaths) -> None:
    status = read_status(places)
    assert status.figure("accuracy") > 0.97
    assert status.figure("span_f1") > 0.95
    (*_, last) = [r for r in LogTail(places.metrics).read() if r["split"] == "val"]
    assert last["span_f1"] == status.figure("span_f1")
    assert read_record(places).data["classes"] == ["B-LOC", "B-PER", "I-PER", "O"]
    assert " LOC]" in [r for r in LogTail(places.samples).read() if r["kind"] == "sample"][-1]["text"]


def test_streamed_and_padded_evaluation_agree(places: RunPaths) -> None:
    """The exported cell, symbol by symbol, against the trainer's padded batches."""
    from safetensors.torch import load as load_tensors

    data = run_data(places)
    assert isinstance(data, tag.TagData)
    model = build_model(read_record(places).config, data).eval()
    model.load_state_dict(load_tensors(checkpoint.load(places).files[checkpoint.MODEL]))
    with torch.no_grad():
        padded = judge(data.val, data.classes, padded_logits(model, data.val, torch.device("cpu")))
    cell = opened(export_run(places), "places", "cpu")
    side_by_side = measure(cell, data.val)
    alone = [(i, next(answers(cell, [ids]))[1].copy()) for i, ids in enumerate(data.val.ids)]
    streamed = judge(data.val, data.classes, alone)
    assert len(set(data.val.lengths.tolist())) > 2
    for found in (side_by_side, streamed):
        assert found.nats == pytest.approx(padded.nats, abs=1e-6)
        assert (found.accuracy, found.tags, found.spans) == (padded.accuracy, padded.tags, padded.spans)
    last = measure(opened(export_run(places, "last"), "places", "cpu"), data.val)
    assert last.nats == pytest.approx(read_status(places).val_loss, abs=1e-6)


@pytest.mark.parametrize("tokens", ["word", "byte"])
def test_words_and_bytes(tokens: str, file: Path, tmp_path: Path) -> None:
    paths = train_small(
        tmp_path, tokens, file, task="tag", tokens=tokens, steps=150, batch_size=16, lr=0.02, dropout=0.0
    )
    cell = opened(export_run(paths), tokens, "cpu")
    data = run_data(paths)
    assert isinstance(data, tag.TagData)
    assert measure(cell, data.val).nats < 0.3
    (found,) = mark(cell, ["Anna X7 lives in Rome."])
    assert found.line == "[Anna X7 PER] lives in [Rome LOC]."


def test_symbols(tmp_path: Path) -> None:
    """Vowels and consonants: one tag a symbol."""
    draw = np.random.default_rng(0)
    rows = ["".join(draw.choice(list("abcdef"), draw.integers(3, 9))) for _ in range(90)]
    lines = [f"{row},{''.join('V' if symbol in 'ae' else 'C' for symbol in row)}" for row in rows]
    (tmp_path / "s.csv").write_text("\n".join(["text,tags", *lines]))
    paths = train_small(tmp_path, "symbols", tmp_path / "s.csv", task="tag", steps=80, batch_size=16, lr=0.02)
    assert read_status(paths).figure("accuracy") == 1.0
    assert read_record(paths).data["classes"] == ["C", "V"]
    (found,) = mark(opened(export_run(paths), "symbols", "cpu"), ["bacca"])
    assert found.tags == ["C", "V", "C", "C", "V"]
    assert found.line == "[b C][a V][cc C][a V]"


def test_what_is_read_live(places: RunPaths) -> None:
    """What the Generate tab reads a text with: probabilities of the tags after each letter, back and forward."""
    session = CellSession(export_run(places), device="cpu")
    judge_, vocab = TextJudge(session), session.metadata.vocab
    line = Timeline(judge_)
    line.draft(vocab.encode("Anna X7 lives in Rome").tolist())
    p = judge_.distribution(Sampling())
    assert session.metadata.classes[int(p.argmax())] == "B-LOC"
    line.draft(vocab.encode("Anna").tolist())
    assert session.metadata.classes[int(judge_.distribution(Sampling()).argmax())] == "B-PER"


def test_resumed_taggers_have_the_same_bits(file: Path, tmp_path: Path) -> None:
    whole = train_small(tmp_path, "whole", file, task="tag", steps=24, checkpoint_every=7, token_dropout=0.1)
    config = read_record(whole).config

    class Crash(BaseException):
        pass

    def crash(event: Event) -> None:
        if event.kind == "step" and event.step == 17:
            raise Crash

    with pytest.raises(Crash):
        launch.start(config, tmp_path, "killed", crash)
    killed = RunPaths(tmp_path / "killed")
    launch.resume(killed, {}, lambda event: None)
    for name in (checkpoint.MODEL, checkpoint.OPTIMIZER):
        assert checkpoint.load(killed, "last").files[name] == checkpoint.load(whole, "last").files[name]


def test_the_commands(places: RunPaths, file: Path, environment: dict[str, str], tmp_path: Path) -> None:
    def tuirnn(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tuirnn", *arguments, "--runs", str(places.root.parent)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)

    done = tuirnn("predict", "places", "Anna X7 lives in Rome.")
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    assert last == "[Anna X7 PER] lives in [Rome LOC]."
    assert [row.split()[:2] for row in table] == [
        ["Anna", "B-PER"], ["X7", "I-PER"], ["lives", "O"], ["in", "O"], ["Rome", "B-LOC"], [".", "O"],
    ]  # fmt: skip
    found = json.loads(tuirnn("predict", "places", "Dora X1 lives in Bern", "--json").stdout)
    assert found["spans"] == [
        {"text": "Dora X1", "first": 0, "last": 7, "kind": "PER"},
        {"text": "Bern", "first": 17, "last": 21, "kind": "LOC"},
    ]
    assert [word["tag"] for word in found["words"]] == ["B-PER", "I-PER", "O", "O", "B-LOC"]
    assert all(0.5 < word["p"] <= 1 for word in found["words"])
    (tmp_path / "many.txt").write_text("Lives in Oslo.\n\nBoris X2 lives in Oslo.\n")
    lines = tuirnn("predict", "places", "--file", str(tmp_path / "many.txt")).stdout.splitlines()
    assert lines[1] == "[Boris X2 PER] lives in [Oslo LOC]."
    assert len(lines) == 2
    figures = json.loads(tuirnn("eval", "places", "--json").stdout)
    assert figures["split"] == "test"
    assert figures["span_f1"] > 0.9
    assert set(figures["tags"]) == {"B-LOC", "B-PER", "I-PER", "O"}
    assert figures["spans"]["PER"]["true"] > 5
    assert "all spans" in tuirnn("eval", "places").stdout
    exported = tuirnn("export", "places", "-o", "places.onnx", "--precision", "int8", "--max-loss-increase", "0.1")
    assert exported.returncode == 0, exported.stderr
    assert "nats" in exported.stdout
    given_file = json.loads(tuirnn("eval", str(tmp_path / "places.onnx"), "--text", str(file), "--json").stdout)
    assert given_file["sequences"] > figures["sequences"]
    for mistake in (
        ["predict", "places"],
        ["predict", "places", " "],
        ["generate", "places"],
        ["eval", str(tmp_path / "places.onnx")],
        ["eval", "places", "--text", str(tmp_path / "many.txt")],
        ["export", "places", "--with-sampler"],
    ):
        done = tuirnn(*mistake)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), (mistake, done.stderr)
