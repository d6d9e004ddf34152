"""Every recipe on a slice of its data; what the published systems needed; splits that overlap."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import train_small
from hypothesis import given, settings
from hypothesis import strategies as st

from tuirnn.config import load_recipe, recipe_names, recipe_text
from tuirnn.errors import ConfigError, DataError
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import datasets
from tuirnn.tasks.lm import data as lm
from tuirnn.training import launch
from tuirnn.training.events import to_json

NAMES = [a + b + c for a in ("Ab", "Cor", "Di", "Mega", "Tri") for b in ("lo", "ra", "no") for c in ("don", "saurus")]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For the data sets that are not on this machine: small data of the same form."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "dinos.txt").write_text("\n".join(NAMES))
    (folder / "shakespeare.txt").write_text(datasets.default_text()[:30_000])
    (folder / "names").mkdir()
    for number, language in enumerate(("German", "Italian", "Russian")):
        (folder / "names" / f"{language}.txt").write_text("\n".join(f"{name}{number}" for name in NAMES))
    return {"dinos": folder / "dinos.txt", "names": folder / "names", "shakespeare": folder / "shakespeare.txt"}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_on_a_slice_of_its_data(name: str, stand_ins: dict[str, Path], tmp_path: Path) -> None:
    config = load_recipe(name).config
    text = config.task.writes
    here = all(datasets.is_here(source) for source in config.data.sources)
    sources = config.data.sources if here else tuple(str(stand_ins[source]) for source in config.data.sources)
    slice_ = min(config.data.fraction, 0.02 if sources == ("shakespeare",) or not sources else 0.3) if text else 1.0
    small = config.replace(
        sources=sources, fraction=slice_, hidden=16, embed=min(config.model.embed, 16), steps=3, epochs=0.0,
        minutes=0.0, eval_every=2, sample_length=8, device="cpu", dtype="float32",
        batch_size=min(config.train.batch_size, 4),
    )  # fmt: skip
    launch.start(small, tmp_path, name, lambda event: None)
    status = read_status(RunPaths(tmp_path / name))
    assert (status.state, status.step) == ("done", 3)
    assert math.isfinite(status.val_loss)


def test_a_recipe_can_be_copied_out(tmp_path: Path) -> None:
    for name in recipe_names():
        (tmp_path / "mine.toml").write_text(recipe_text(name))
        copied, recipe = load_recipe(str(tmp_path / "mine.toml")), load_recipe(name)
        assert (copied.about, copied.config) == (recipe.about, recipe.config)
        assert recipe.about.isprintable()


# ── lists of lines ───────────────────────────────────────────────────────────────


@settings(max_examples=50)
@given(names=st.lists(st.text("abcé", min_size=1, max_size=9), min_size=2, max_size=60), seed=st.integers(0, 3))
def test_lists_are_shuffled_without_duplicates_and_cut_between_lines(names: list[str], seed: int) -> None:
    if len(set(names)) < 2:
        with pytest.raises(DataError, match="different lines"):
            lm.shuffled_lines("\n".join(names).encode(), seed)
        return
    text = lm.shuffled_lines("\n".join(names).encode(), seed).decode()
    assert sorted(text.splitlines()[1:]) == sorted(set(names))
    ids = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
    train, test, val = lm.split(ids, DataConfig(val_fraction=0.2, test_fraction=0.2), at=10)
    parts = [bytes(part.tolist()).decode().split("\n") for part in (train, test, val)]
    assert [line for part in parts for line in part if line] == text.splitlines()[1:]
    assert all(not part.size or part[0] == 10 for part in (train, test, val))


def test_windows_begin_where_lines_do(stand_ins: dict[str, Path]) -> None:
    data = lm.load(DataConfig(sources=(str(stand_ins["dinos"]),), lines=True))
    (newline,) = data.vocab.encode("\n")
    batches = data.batches(TrainConfig(batches="lines", batch_size=4, seq_len=10))
    begun = set()
    for _ in range(batches.batches_per_epoch):
        x, y, carry = batches.next()
        assert (x[0] == newline).all()
        assert (x[1:] == y[:-1]).all()
        assert not carry.any()
        begun |= {data.vocab.decode(column) for column in y.T}
    assert len(begun) == batches.batches_per_epoch * 4
    with pytest.raises(DataError, match="several lines"):
        lm.LineBatches(np.arange(100), TrainConfig(batches="lines"))


def test_other_lists_stand_in_for_a_data_set_that_is_brought(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TUIRNN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="baby-names"):
        datasets.fetch("dinos")


def test_new_lines_are_counted() -> None:
    from tuirnn.novelty import Corpus, new_lines

    found = new_lines("\nRex\nDino\nDino\nAll", Corpus("\nRex\nSaurus\n").text)
    assert found == {"lines": 3, "new_lines": pytest.approx(2 / 3), "different_lines": pytest.approx(2 / 3)}


# ── as published ─────────────────────────────────────────────────────────────────


def test_the_published_gru_gradient_lacks_nothing_but_transposes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With symmetric recurrent matrices the wrong gradient is the right one; otherwise it is far off."""
    from tuirnn.models import SequenceModel
    from tuirnn.settings.model import ModelConfig

    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    from gru_gradient import published_gradient

    torch.manual_seed(0)
    model = SequenceModel(ModelConfig(cell="gru", reset="before", hidden=12, embed=0, dropout=0.0), 9)
    tokens = torch.randint(9, (7, 2))

    def gradient() -> torch.Tensor:
        model.zero_grad()
        model(tokens, model.zero_state(2))[0].square().sum().backward()
        weight = model.recurrent(0).weight_hh
        assert weight.grad is not None
        return weight.grad.clone()

    right = gradient()
    with published_gradient():
        wrong = gradient()
    assert (wrong - right).norm() > 0.05 * right.norm()
    with torch.no_grad():
        for W in model.recurrent(0).weight_hh.chunk(3):
            W.copy_((W + W.t()) / 2)
    right = gradient()
    with published_gradient():
        assert torch.allclose(gradient(), right, rtol=1e-4, atol=1e-6)


def test_hidden_tokens_teach_the_unknown_one(tmp_path: Path, small_text: Path) -> None:
    from safetensors.torch import load

    for share in (0.0, 0.3):
        paths = train_small(tmp_path, f"drop-{share}", small_text, token_dropout=share)
        row = load(checkpoint.load(paths).files[checkpoint.MODEL])["embedding.weight"][-1]
        assert bool(row.any()) == (share > 0)
    with pytest.raises(ConfigError, match="no byte or subword is"):
        train_small(tmp_path, "bytes", small_text, tokens="byte", token_dropout=0.1)


def test_summed_gradients_are_the_mean_times_the_tokens(tmp_path: Path, small_text: Path) -> None:
    norms = []
    for summed in (False, True):
        paths = train_small(tmp_path, f"sum-{summed}", small_text, steps=1, dropout=0.0, summed=summed, clip=0.0)
        norms.append(LogTail(paths.metrics).read()[0]["grad_norm"])
    assert norms[1] == pytest.approx(4 * 16 * norms[0], rel=1e-4)


def test_first_weights_of_a_given_width() -> None:
    from tuirnn.models import SequenceModel
    from tuirnn.settings.model import ModelConfig

    torch.manual_seed(0)
    model = SequenceModel(ModelConfig(hidden=64, embed=0, init_std=0.01, forget_bias=0.0), 30, unk=29)
    for name, parameter in model.named_parameters():
        assert float(parameter.detach().std()) == pytest.approx(0.01 if parameter.dim() == 2 else 0.0, rel=0.1), name


def test_greedy_samples_from_a_prime_are_the_same_each_time(tmp_path: Path, small_text: Path) -> None:
    asked = {"sample_prime": "the quick ", "sample_temperature": 0.0, "lr": 1e-12, "sample_length": 12}
    paths = train_small(tmp_path, "one", small_text, **asked)
    texts = [r["text"] for r in LogTail(paths.samples).read() if r["kind"] == "sample"]
    assert texts[0] == texts[1]
    assert texts[0].startswith("the quick ")
    assert len(texts[0]) == 22


def test_evaluations_once_an_epoch(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, steps=0, epochs=2, eval_every=0, fraction=0.1)
    steps = [r["step"] for r in LogTail(paths.metrics).read() if r["split"] == "val"]
    assert len(steps) == 2
    assert steps[1] == 2 * steps[0]


# ── honesty ──────────────────────────────────────────────────────────────────────


def test_a_text_given_twice_is_refused_or_called_leaky(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(datasets.default_text()[:20_000])
    with pytest.raises(DataError, match=r"occurs word for word.*--allow-leak"):
        train_small(tmp_path, "twice", text, sources=(str(text), str(text)))
    assert not (tmp_path / "twice").exists()
    train_small(tmp_path, "once", text)
    assert not read_record(RunPaths(tmp_path / "once")).leaky
    events: list[dict[str, Any]] = []
    config = read_record(RunPaths(tmp_path / "once")).config.replace(sources=(str(text), str(text)), allow_leak=True)
    launch.start(config, tmp_path, "twice", lambda event: events.append(to_json(event)))
    assert all(event["leaky"] is True for event in events if event["event"] in ("eval", "end"))
    assert read_record(RunPaths(tmp_path / "twice")).leaky


def test_the_published_split_is_leaky_by_name(tmp_path: Path, small_text: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(datasets.default_text()[:20_000])
    with pytest.raises(DataError, match="100 %"):
        train_small(tmp_path, "within", text, split="within")


def test_every_figure_of_a_leaky_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tuirnn.cli.compare import compare
    from tuirnn.cli.evaluate import evaluate
    from tuirnn.cli.progress import PlainReport
    from tuirnn.cli.runs import ls
    from tuirnn.export.exporter import export_run

    text = tmp_path / "text.txt"
    text.write_text(datasets.default_text()[:20_000])
    honest = train_small(tmp_path / "runs", "honest", text)
    config = read_record(honest).config.replace(split="within", allow_leak=True)
    with PlainReport(config) as report:
        launch.start(config, tmp_path / "runs", "seen", report)
    said = capsys.readouterr().out.splitlines()
    figures = [line for line in said if "validation" in line]
    assert figures
    assert all("leaky" in line for line in figures)
    ls(runs=tmp_path / "runs")
    compare(["honest", "seen"], output=tmp_path / "report", runs=tmp_path / "runs")
    evaluate("seen", runs=tmp_path / "runs", device="cpu")
    listed = capsys.readouterr().out
    assert len([line for line in listed.splitlines() if "leaky" in line]) >= 4
    assert "leaky" in (tmp_path / "report" / "report.md").read_text()
    assert math.isnan(export_run(RunPaths(tmp_path / "runs" / "seen")).metadata.val_bpc)


@given(period=st.integers(1, 120), times=st.integers(60, 90))
def test_a_refrain_is_no_leak(period: int, times: int) -> None:
    from tuirnn.tasks.overlap import overlap
    from tuirnn.vocab import Vocabulary

    ids = np.tile(np.arange(period), times)
    train, test, val = lm.split(ids, DataConfig())
    data = lm.TextData("refrain", "", b"", Vocabulary("byte"), train, val, test)
    assert overlap(data) == 0.0


@settings(max_examples=30)
@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 99))
def test_the_overlap_is_the_share_that_was_copied(share: float, seed: int) -> None:
    """Random text with a copied piece in what is held out, found to within the stretches at its borders."""
    from tuirnn.tasks.overlap import STRETCH, overlap
    from tuirnn.vocab import Vocabulary

    draw = np.random.default_rng(seed)
    train, val = draw.integers(0, 60, 5000), draw.integers(0, 60, 2000)
    copied = int(share * 2000)
    val[:copied] = train[700 : 700 + copied]
    found = overlap(lm.TextData("", "", b"", Vocabulary("byte"), train, val, val[:0]))
    assert found == pytest.approx(
        max(0, copied - STRETCH + 1) / (2000 - STRETCH + 1), abs=3e-3
    )  # chance may go on copying


def test_unknown_recipes_are_not_printed() -> None:
    with pytest.raises(ConfigError, match="essay-gru"):
        recipe_text("essay-gr")
