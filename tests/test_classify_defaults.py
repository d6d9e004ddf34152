"""Classification by default: what it learns without being told how, and the baseline that is shown beside it."""

import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Answer
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load as load_tensors

from tuirnn.config import FIELDS, RunConfig
from tuirnn.errors import ConfigError
from tuirnn.estimate import parameters
from tuirnn.export.exporter import export_run
from tuirnn.models import SequenceModel, count_parameters
from tuirnn.runs import checkpoint, detached
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.runtime.opened import opened
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import TASKS
from tuirnn.tasks.batches import IGNORE
from tuirnn.tasks.classify import ngrams
from tuirnn.tasks.classify import prediction as streaming
from tuirnn.tasks.classify.data import load
from tuirnn.training import launch
from tuirnn.training.learner import build_model
from tuirnn.training.losses import WithNextSymbol
from tuirnn.training.tasks.classify import last_logits

Told = Callable[..., Answer]


def write_cues(path: Path, count: int = 240) -> Path:
    """Sequences of 60 to 113 letters that differ in the first alone."""
    draw = np.random.default_rng(0)
    rows = [
        f"{cue}{''.join(draw.choice(list('abcdefghij'), draw.integers(60, 113)))},{cue}{cue}"
        for cue, _ in itertools.product("xy", range(count // 2))
    ]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


# ── defaults of a task ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_the_defaults_of_a_task_are_settings_that_it_reads(task: Any, answer: Told) -> None:
    config = RunConfig.of(task.name)
    assert config.task is task
    assert not task.defaults.keys() & config.unread
    assert {name: value for name, value in config.flat().items() if name in task.defaults} == task.defaults
    if task.defaults:
        assert f"{task.name}: " in answer("train", "--help").out
    with pytest.raises(ConfigError, match="--task"):
        RunConfig.of(task.name + "x")


@given(st.sampled_from(sorted(TASKS)), st.data())
def test_a_configuration_survives_its_command_line(task: str, data: st.DataObject) -> None:
    """Also where it has the general default and the task another one."""
    from tuirnn.cli.train import configured

    changed = {"hidden": 384, "dropout": 0.2, "lr": 5e-3, "tokens": "word", "test_fraction": 0.0, "pooling": "last"}
    chosen = data.draw(st.sets(st.sampled_from(sorted(changed))))
    config = RunConfig.of(task).replace(
        **{name: changed[name] for name in chosen if name not in RunConfig.of(task).unread}
    )
    words = detached.arguments(config)
    given: dict[str, Any] = {}
    for flag, value in itertools.pairwise([*words, ""]):
        if flag.startswith("--") and len(flag) > 2:
            name = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
            kind: Any = FIELDS[name][1].type
            given[name] = not flag.startswith("--no-") if kind is bool else kind(value)
    assert configured(None, None, None, given) == (config, None)


def test_what_is_given_goes_before_the_defaults(answer: Told, tmp_path: Path) -> None:
    table = write_cues(tmp_path / "cues.csv", 40)
    words = ["--hidden", "6", "--embed", "4", "--steps", "2", "--dropout", "0.2", "--device", "cpu"]
    for name, extra in {"plain": [], "shared": ["--processes", "2"]}.items():
        done = answer(
            "train", str(table), "--task", "classify", *words, *extra, "--runs", str(tmp_path), "--name", name
        )
        assert done.code == 0, done.err
        config = read_record(RunPaths(tmp_path / name)).config
        defaults = {
            key: value for key, value in TASKS["classify"].defaults.items() if key not in ("hidden", "dropout", "steps")
        }
        assert {key: value for key, value in config.flat().items() if key in defaults} == defaults
        assert (config.model.hidden, config.model.dropout, config.train.steps) == (6, 0.2, 2)


# ── the beginning of long sequences ──────────────────────────────────────────────


@pytest.mark.parametrize(("pooling", "learned"), [("last+max", True), ("last", False)])
def test_a_cue_at_the_front_of_a_long_sequence_is_learned_by_default(
    pooling: str, learned: bool, tmp_path: Path, one_thread: None
) -> None:
    config = RunConfig.of("classify").replace(
        sources=(str(write_cues(tmp_path / "cues.csv")),), hidden=32, steps=100, eval_every=100, device="cpu",
        **({} if learned else {"pooling": pooling}),
    )  # fmt: skip
    assert config.model.pooling == pooling
    launch.start(config, tmp_path, "one", lambda event: None)
    accuracy = read_status(RunPaths(tmp_path / "one")).figure("accuracy")
    assert accuracy == 1.0 if learned else accuracy < 0.8


# ── the auxiliary loss ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_auxiliary_loss_is_the_mean_nats_of_each_sequences_next_symbols(
    every_step: bool, weighted: bool, tmp_path: Path
) -> None:
    data = load(DataConfig(task="classify", sources=(str(write_cues(tmp_path / "cues.csv", 40)),)))
    x, y, _ = data.batches(TrainConfig(batch_size=7, every_step=every_step, auxiliary=0.5)).next()
    _, plain, _ = data.batches(TrainConfig(batch_size=7, every_step=every_step)).next()
    assert np.array_equal(y[..., 0], plain)
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(
        *x.shape, data.outputs + data.inputs, generator=generator, dtype=torch.float64, requires_grad=True
    )
    weights = torch.tensor([0.5, 1.5]) if weighted else None
    loss = WithNextSymbol(data.outputs, 0.5, weights)
    scores = outputs[..., data.outputs :].log_softmax(-1)
    classes = outputs[..., : data.outputs].log_softmax(-1)
    total, of_classes, whole = torch.zeros((), dtype=torch.float64), 0.0, 0.0
    for b, column in enumerate(plain.T):
        judged = np.flatnonzero(column != IGNORE)
        each = 1.0 if weights is None else float(weights[column[judged[0]]])
        length = judged[-1] + 1
        following = -scores[range(length - 1), b, x[1:length, b]].mean()
        for t in judged:
            total = total + each * (0.5 * following - classes[t, b, column[t]])
            of_classes -= each * float(classes[t, b, column[t]].detach())
        whole += each * len(judged)
    (expected,) = torch.autograd.grad(total / whole, outputs)
    value = loss(outputs, torch.from_numpy(y))
    assert value.item() == pytest.approx(of_classes / whole, rel=1e-5), "to be held against the validation loss"
    assert torch.autograd.grad(value, outputs)[0].numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    assert loss.weight(y) == pytest.approx(whole)
    parts = [slice(0, 3), slice(3, 7)]
    sums = [loss(outputs[:, part], torch.from_numpy(y[:, part])) * loss.weight(y[:, part]) for part in parts]
    (divided,) = torch.autograd.grad(sum(sums, torch.zeros(())) / loss.weight(y), outputs)
    assert divided.numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_the_head_of_the_auxiliary_loss_stays_out_of_evaluations_and_of_the_cell(tmp_path: Path) -> None:
    table = write_cues(tmp_path / "cues.csv", 40)
    config = RunConfig.of("classify").replace(sources=(str(table),), hidden=6, embed=4, steps=2, device="cpu")
    launch.start(config, tmp_path, "one", lambda event: None)
    paths = RunPaths(tmp_path / "one")
    data = load(config.data)
    model = build_model(config, data)
    assert count_parameters(model) == read_record(paths).parameters
    assert count_parameters(model) == parameters(config.model, data.inputs, data.outputs, auxiliary=True)
    x, state = torch.zeros(3, 2, dtype=torch.int64), model.zero_state(2)
    assert model(x, state)[0].shape == (3, 2, data.outputs + data.inputs)
    assert model.eval()(x, state)[0].shape == (3, 2, data.outputs)
    cell = export_run(paths, "last")
    assert b"auxiliary" not in cell.data
    assert cell.metadata.outputs == data.outputs
    padded = last_logits(load_model(paths, model), data.val, torch.device("cpu"))
    streamed = streaming.last_logits(opened(cell, "one", "cpu"), data.val.ids)
    np.testing.assert_allclose(streamed, padded.detach().numpy(), atol=1e-5)


def load_model(paths: RunPaths, model: SequenceModel) -> SequenceModel:
    model.load_state_dict(load_tensors(checkpoint.load(paths, "last").files[checkpoint.MODEL]))
    return model


def test_bytes_are_not_hidden_and_words_are_not_predicted() -> None:
    assert RunConfig.of("classify").train.token_dropout > 0
    assert RunConfig.of("classify", {"tokens": "byte"}).train.token_dropout == 0
    assert RunConfig.of("classify", {"tokens": "byte"}).train.auxiliary > 0
    assert RunConfig.of("classify", {"tokens": "word"}).train.auxiliary == 0
    assert RunConfig.of("classify", {"tokens": "bpe"}).train.token_dropout == 0
    assert RunConfig.of("classify", {"tokens": "bpe", "minutes": 1.0}).train.steps == 0


# ── the n-grams beside it ────────────────────────────────────────────────────────


@given(st.lists(st.lists(st.integers(0, 3), max_size=9), max_size=5), st.integers(1, 4))
def test_ngrams_are_counted_within_each_sequence(sequences: list[list[int]], longest: int) -> None:
    rows, hashes, counts = ngrams.ngrams([np.array(one, np.int64) for one in sequences], longest)
    ends = [[-1, *one, -1] for one in sequences]
    expected = [
        Counter(
            tuple(one[i : i + n])
            for n in range(1, longest + 1)
            for i in range(len(one) - n + 1)
            if n > 1 or one[i] >= 0
        )
        for one in ends
    ]
    for row, counter in enumerate(expected):
        assert sorted(counts[rows == row].tolist()) == sorted(counter.values())
    assert len(set(hashes.tolist())) == len(set().union(*expected)) if expected else not len(hashes)


def test_the_regression_has_the_least_loss_that_its_descent_is_to_find(tmp_path: Path) -> None:
    """Its gradient against finite differences of the loss it descends: weights that are not a minimum would move."""
    x = ngrams.Sparse(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2]), np.array([0.6, 0.8, 1.0, 1.0], np.float32), 3)
    dense = np.array([[0.6, 0, 0.8], [0, 1, 0], [0, 0, 1]])
    right = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(x.times(right), dense @ right, rtol=1e-6)
    np.testing.assert_allclose(x.transposed(3).times(right), dense.T @ right, rtol=1e-6)


def test_ngrams_tell_what_they_can_and_say_what_they_were_fitted_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    rows = [f"{''.join(draw.choice(list('abcde'), 8))}{pair},{pair}" for pair in ("xy", "yx", "yy") for _ in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    data = load(DataConfig(task="classify", sources=(str(tmp_path / "t.csv"),)))
    found = ngrams.NGrams(data).judge(data.val)
    assert found.accuracy == 1.0
    assert found.majority == pytest.approx(1 / 3, abs=0.02)
    assert "n-grams of up to 4 characters: accuracy 100.00%" in found.told
    monkeypatch.setattr(ngrams, "MOST_SYMBOLS", 600)
    assert "fitted to 50 of 2" in ngrams.NGrams(data).judge(data.val).told


def test_the_baseline_stands_beside_every_classifier(answer: Told, tmp_path: Path) -> None:
    table = write_cues(tmp_path / "cues.csv", 60)
    words = ["--hidden", "6", "--embed", "4", "--steps", "4", "--eval-every", "2", "--device", "cpu", "--name", "one"]
    done = answer("train", str(table), "--task", "classify", *words, "--runs", str(tmp_path))
    assert done.out.count("for comparison, on the validation sequences: logistic regression on n-grams") == 1
    assert done.out.count("(n-grams: ") == 3
    values = [
        record["ngram_accuracy"]
        for record in LogTail(RunPaths(tmp_path / "one").metrics).read()
        if record["split"] == "val"
    ]
    assert len(values) == 2
    assert values[0] == values[1] == read_status(RunPaths(tmp_path / "one")).figure("ngram_accuracy")
    judged = json.loads(answer("eval", "one", "--runs", str(tmp_path), "--json").out)
    assert judged["split"] == "test"
    assert judged["ngram_accuracy"] == pytest.approx(judged["ngram_accuracy"], abs=0)
    assert judged["majority_accuracy"] == 0.5
    assert "the commonest class: 50.00%" in answer("eval", "one", "--runs", str(tmp_path)).out
