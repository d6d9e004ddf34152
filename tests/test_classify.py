"""Classification: reading and splitting, masked batches, figures, from a folder to a streamed prediction."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Answer, train_small
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.errors import ConfigError, DataError
from tuirnn.export.exporter import export_run
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record, read_status
from tuirnn.runtime.data import run_data
from tuirnn.runtime.opened import opened
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks import DEFAULT, TASKS
from tuirnn.tasks.batches import IGNORE
from tuirnn.tasks.classify import data as classify
from tuirnn.tasks.classify import prediction as streaming
from tuirnn.tasks.probabilities import softmax
from tuirnn.training import launch
from tuirnn.training.events import Event
from tuirnn.training.learner import build_model
from tuirnn.training.tasks.classify import last_logits

CONSONANTS, VOWELS = "bcdfghjkl", "aeiou"


def _words(seed: int, endings: str, count: int = 120) -> list[str]:
    draw = np.random.default_rng(seed)
    stems = ("".join(draw.choice(list(CONSONANTS + VOWELS), draw.integers(2, 8))) for _ in range(count))
    return [stem + str(draw.choice(list(endings))) for stem in stems]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of two kinds: those that end in a vowel, and those that do not."""
    made = tmp_path_factory.mktemp("words")
    (made / "vowel.txt").write_text("\n".join(_words(1, VOWELS)))
    (made / "other.txt").write_text("\n".join(_words(2, CONSONANTS)))
    (made / "LICENSE").write_text("not a class\n")
    return made


@pytest.fixture(scope="module")
def words(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A classifier that has learned the two kinds."""
    return train_small(
        tmp_path_factory.mktemp("runs"), "words", folder, task="classify", hidden=16, steps=150, eval_every=50,
        checkpoint_every=50, batch_size=16, lr=0.02, test_fraction=0.2,
    )  # fmt: skip


def load(source: Path, **changes: Any) -> classify.LabelledData:
    return classify.load(DataConfig(task="classify", sources=(str(source),), **changes))


# ── reading ──────────────────────────────────────────────────────────────────────


def test_duplicates_and_shared_sequences_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\none\ntwo\nboth\nthree\n\n  four \n")
    (tmp_path / "b.txt").write_text("five\nsix\nboth\nseven\neight\n")
    (tmp_path / "tiny.txt").write_text("lonely\n")
    data = load(tmp_path)
    assert data.classes == ("a", "b")
    texts = {data.vocab.decode(ids) for split in (data.train, data.val, data.test) for ids in split.ids}
    assert texts == {"one", "two", "three", "four", "five", "six", "seven", "eight"}
    assert data.notes[-4:] == (
        "2 classes: a 4, b 4",
        "1 duplicates within a class left out, so that none is in two splits",
        "1 sequences that occur in two or more classes left out",
        "class 'tiny' left out: 1 sequences of its own",
    )


@given(
    sizes=st.lists(st.integers(3, 40), min_size=2, max_size=5),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.0, 0.3),
    seed=st.integers(0, 9),
)
def test_splits_are_stratified_and_disjoint(
    sizes: list[int], val: float, test: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    for c, size in enumerate(sizes):
        (folder / f"{c}.txt").write_text("\n".join(f"{chr(97 + c)}{i}" for i in range(size)))
    data = load(folder, val_fraction=val, test_fraction=test, split_seed=seed)
    seen = Counter(data.vocab.decode(ids) for split in (data.train, data.val, data.test) for ids in split.ids)
    assert set(seen.values()) == {1}
    assert sum(seen.values()) == sum(sizes)
    for label, size in enumerate(sizes):
        assert abs(int((data.val.labels == label).sum()) - max(1, val * size)) <= 1
        assert (data.train.labels == label).any()
    assert load(folder, val_fraction=val, test_fraction=test, split_seed=seed).val.labels.tolist() == (
        data.val.labels.tolist()
    )


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text,kind,label\n"a, b",x,1\nc,x,1\nd,x,1\ne,y,2\nf,y,2\ng,y,2\n')
    data = load(path)
    assert data.classes == ("1", "2")
    assert "a, b" in {data.vocab.decode(ids) for split in (data.train, data.val) for ids in split.ids}
    assert load(path, label_column="kind").classes == ("x", "y")
    tabs = tmp_path / "t.tsv"
    tabs.write_text("label\tname\n1\ta\n1\tb\n2\tc\n2\td\n")
    assert load(tabs).classes == ("1", "2")


BAD = {
    "ragged": ("a,label\nx,1\ny\n", "line 3: 1 fields where the header has 2"),
    "no label": ("a,label\nx,1\ny,\n", "line 3: no label"),
    "one class": ("a,label\nx,1\ny,1\n", "1 class after cleaning"),
    "one column": ("label\nx\n", "1 column"),
    "a class with one member": ("a,label\nx,1\ny,1\nz,2\n", "1 class after cleaning"),
    "quotes": ('a,label\n"x,1\n', "0 class after cleaning"),
    "binary": ("a,label\0", "binary"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_get_one_clear_line(name: str, tmp_path: Path) -> None:
    text, said = BAD[name]
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path / "t.csv")
    assert str(caught.value).isprintable()


def test_unknown_classes_and_columns_offer_the_nearest(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no class 'vowels'; did you mean 'vowel'"):
        load(folder, classes="vowels,other")
    (tmp_path / "t.csv").write_text("text,label\na,1\nb,2\n")
    with pytest.raises(DataError, match=r"no column 'txt'; did you mean 'text'"):
        load(tmp_path / "t.csv", text_column="txt")
    with pytest.raises(DataError, match="not from 2 sources"):
        classify.load(DataConfig(task="classify", sources=("a", "b")))


# ── batches, figures ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("every_step", [False, True])
def test_no_target_is_padding(every_step: bool, folder: Path) -> None:
    data = load(folder)
    batches = data.batches(TrainConfig(batch_size=8, every_step=every_step))
    for _ in range(30):
        x, y, carry = batches.next()
        assert x.shape == y.shape
        assert not carry.any()
        for tokens, targets in zip(x.T, y.T, strict=True):
            counted = np.flatnonzero(targets != IGNORE)
            length = counted[-1] + 1
            assert counted.tolist() == (list(range(length)) if every_step else [length - 1])
            found = [
                label
                for ids, label in zip(data.train.ids, data.train.labels, strict=True)
                if np.array_equal(ids, tokens[:length])
            ]
            assert found == [targets[length - 1]]


def test_an_epoch_holds_each_sequence_once_and_resumes_exactly(folder: Path) -> None:
    config = TrainConfig(batch_size=10)
    batches, again = load(folder).batches(config), load(folder).batches(config)
    for _ in range(batches.batches_per_epoch + 3):
        batches.next()
    again.restore(json.loads(json.dumps(batches.cursor())))
    for _ in range(20):
        assert all(np.array_equal(a, b) for a, b in zip(batches.next(), again.next(), strict=True))


def test_figures_by_hand() -> None:
    confusion = np.array([[3, 1], [0, 4]])
    assert classify.macro_f1(confusion) == pytest.approx((2 * 3 / 7 + 2 * 4 / 9) / 2)
    assert classify.macro_f1(np.array([[5, 0], [0, 0]])) == 0.5
    assert classify.calibration_error([0.95, 0.95, 0.55, 0.55], [True, True, True, False]) == pytest.approx(0.05)


def test_class_weights_make_classes_count_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"x{i}" for i in range(30)))
    (tmp_path / "b.txt").write_text("\n".join(f"y{i}" for i in range(10)))
    data = load(tmp_path)
    weights = data.class_weights[data.train.labels]
    per_class = [weights[data.train.labels == c].sum() for c in (0, 1)]
    assert per_class[0] == pytest.approx(per_class[1])


# ── train, export, predict ───────────────────────────────────────────────────────


def test_it_learns_what_there_is_to_learn(words: RunPaths) -> None:
    status = read_status(words)
    assert status.figure("accuracy") > 0.95
    assert status.figure("macro_f1") > 0.95
    (*_, last) = [r for r in LogTail(words.metrics).read() if r["split"] == "val"]
    assert last["accuracy"] == status.figure("accuracy")
    assert read_record(words).data["classes"] == ["other", "vowel"]
    assert "other  1.00" in [r for r in LogTail(words.samples).read() if r["kind"] == "sample"][-1]["text"]


def test_streaming_agrees_with_padded_batches(words: RunPaths) -> None:
    """The exported cell, symbol by symbol, against the trainer's batches of different lengths."""
    from safetensors.torch import load as load_tensors

    data = run_data(words)
    assert isinstance(data, classify.LabelledData)
    model = build_model(read_record(words).config, data).eval()
    model.load_state_dict(load_tensors(checkpoint.load(words).files[checkpoint.MODEL]))
    with torch.no_grad():
        padded = softmax(last_logits(model, data.val, torch.device("cpu")).numpy())
    cell = export_run(words)
    classifier = opened(cell, "words", "cpu")
    for ids, expected in zip(data.val.ids, padded, strict=True):
        *_, (_, p) = streaming.stream(classifier, data.vocab.decode(ids))
        assert np.abs(p - expected).max() < 1e-5
    many = softmax(streaming.last_logits(classifier, data.val.ids))
    assert np.abs(many - padded).max() < 1e-5


def test_measured_figures_are_those_of_the_run(words: RunPaths) -> None:
    data = run_data(words)
    assert isinstance(data, classify.LabelledData)
    figures = streaming.measure(opened(export_run(words, "last"), "words", "cpu"), data.val)
    assert figures.accuracy == pytest.approx(read_status(words).figure("accuracy"))
    assert figures.nats == pytest.approx(read_status(words).val_loss, abs=1e-5)
    assert figures.confusion.sum() == len(data.val)


def test_resumed_classifiers_have_the_same_bits(folder: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"task": "classify", "steps": 24, "checkpoint_every": 7, "every_step": True}
    whole = train_small(tmp_path, "whole", folder, **settings)
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
    assert checkpoint.load(killed, "last").files == checkpoint.load(whole, "last").files or (
        checkpoint.load(killed, "last").files[checkpoint.MODEL]
        == checkpoint.load(whole, "last").files[checkpoint.MODEL]
    )


def test_the_answers_after_words() -> None:
    steps = [(symbol, np.array([number, 1.0])) for number, symbol in enumerate("so, it\n\nis ")]
    assert [(word, p[0]) for word, p in streaming.after_words(steps)] == [("so,", 3), ("it", 6), ("is", 10)]
    assert [word for word, _ in streaming.after_words(steps[:-1])] == ["so,", "it", "is"]


def test_the_commands(words: RunPaths, answer: Callable[..., Answer], tmp_path: Path) -> None:
    def tuirnn(*arguments: str) -> Answer:
        return answer(*arguments, "--runs", str(words.root.parent))

    done = tuirnn("predict", "words", "bcda")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith("vowel")
    assert len(done.out.splitlines()) == 6
    told = json.loads(tuirnn("predict", "words", "bcda", "--json").out)
    assert [step["symbol"] for step in told["steps"]] == list("bcda")
    assert told["class"] == max(told["p"], key=told["p"].get) == "vowel"
    assert list(told["p"].values()) == told["steps"][-1]["p"]
    assert len(tuirnn("predict", "words", "bcda" * 11).out.splitlines()) == 3, "a row a word"
    (tmp_path / "many.txt").write_text("bcda\ngggg\n\n")
    lines = tuirnn("predict", "words", "--file", str(tmp_path / "many.txt")).out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["vowel", "other"]
    figures = json.loads(tuirnn("eval", "words", "--json").out)
    assert figures["split"] == "test"
    assert figures["accuracy"] > 0.9
    assert "true \\ guessed" in tuirnn("eval", "words").out
    for mistake in (
        ["predict", "words"],
        ["predict", "words", ""],
        ["predict", "words", "a", "--file", "x"],
        ["predict", "words", "--file", str(tmp_path / "none")],
        ["generate", "words"],
        ["export", "words", "--with-sampler"],
        ["eval", "words", "--text", "x"],
    ):
        done = tuirnn(*mistake)
        assert (done.code, done.err.count("\n")) == (2, 1), (mistake, done)


def test_a_language_model_is_no_classifier(small_run: RunPaths) -> None:
    with pytest.raises(ConfigError, match="tuirnn generate"):
        TASKS[DEFAULT].predict(opened(export_run(small_run), "one"), "abc")
