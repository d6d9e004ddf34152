"""The Python interface: what `import tuirnn` offers, and that it says and does what the command line does."""

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer
from tagged import write_places

import tuirnn
from tuirnn.errors import ConfigError, DataError, RunError, TuirnnError
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail
from tuirnn.training.events import Checkpoint, End, Evaluation, Event, Note, Start, Step

SMALL: dict[str, Any] = {
    "hidden": 16, "embed": 8, "steps": 12, "eval_every": 6, "checkpoint_every": 6, "batch_size": 4, "seq_len": 16,
    "sample_length": 10, "device": "cpu",
}  # fmt: skip


def words(settings: dict[str, Any]) -> list[str]:
    return [word for name, value in settings.items() for word in ("--" + name.replace("_", "-"), str(value))]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ── training ─────────────────────────────────────────────────────────────────────


def test_a_training_is_that_of_the_command(small_text: Path, answer: Callable[..., Answer], here: Path) -> None:
    seen: list[Event] = []
    run = tuirnn.train(small_text, name="ours", callback=seen.append, **SMALL)
    assert answer("train", str(small_text), "--name", "theirs", *words(SMALL), "--json").code == 0
    theirs = tuirnn.Run("theirs")
    assert run.settings == theirs.settings
    assert np.array_equal(run.metrics("train")["loss"], theirs.metrics("train")["loss"])
    assert run.best_loss == theirs.best_loss
    assert isinstance(seen[0], Note | Start)
    assert any(isinstance(event, Start) for event in seen)
    assert isinstance(seen[-1], End)
    assert [event.step for event in seen if isinstance(event, Step)] == list(range(1, 13))
    assert {each.name for each in tuirnn.runs()} == {"ours", "theirs"}
    assert run.state == "done"
    assert "done, step 12" in repr(run)


def test_events_are_read_in_a_loop_that_may_be_left(small_text: Path, here: Path) -> None:
    training = tuirnn.events(small_text, **{**SMALL, "steps": 10_000, "eval_every": 5_000})
    for event in training:
        if event.step == 5:
            break
    assert training.outcome == "request"
    run = training.run
    assert run.state == "stopped"
    assert 5 <= run.step < 1_000
    with pytest.raises(RunError, match="can be read once"):
        next(iter(training))
    before = run.step
    assert run.resume(steps=before + 3) is not run
    assert (run.state, run.step) == ("done", before + 3)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("training")]


def test_a_loop_that_is_left_at_the_last_step_leaves_no_request(small_text: Path, here: Path) -> None:
    training = tuirnn.events(small_text, name="one", **SMALL)
    for event in training:
        if event.kind == "sample" and event.step == 12:
            break
    assert training.outcome == "done"
    assert not list((training.run.path / "control").iterdir())
    assert training.run.resume(steps=14).state == "done"


def test_an_error_in_a_callback_ends_the_training_at_a_checkpoint(small_text: Path, here: Path) -> None:
    def stop(event: Event) -> None:
        if event.step == 4:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tuirnn.train(small_text, name="one", callback=stop, **{**SMALL, "steps": 10_000, "eval_every": 5_000})
    assert tuirnn.Run("one").state == "stopped"
    assert (RunPaths(here / "checkpoints" / "one").root / "last").exists()


@pytest.mark.parametrize(("settings", "said"), [
    ({"hiden": 3}, "unknown setting 'hiden'; did you mean 'hidden'?"),
    ({"hidden": 0}, "--hidden must be at least 1, not 0"),
    ({"cell": "ltsm"}, "--cell 'ltsm' is unknown; did you mean 'lstm'"),
    ({"columns": "a"}, "--columns has no effect on --task lm"),
    ({"hidden": "many"}, "--hidden takes a whole number, not 'many'"),
])  # fmt: skip
def test_wrong_settings_are_refused_in_the_words_of_the_command(
    settings: dict[str, Any], said: str, small_text: Path, here: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        tuirnn.train(small_text, **settings)
    assert said in str(refused.value)
    assert not (here / "checkpoints").exists()


@pytest.mark.parametrize("source", ["nowhere.txt", "empty.txt"])
def test_wrong_data_are_refused_in_the_words_of_the_command(
    source: str, answer: Callable[..., Answer], here: Path
) -> None:
    (here / "empty.txt").touch()
    with pytest.raises(TuirnnError) as refused:
        tuirnn.train(source, **SMALL)
    assert answer("train", source, *words(SMALL)).err == f"tuirnn: {refused.value}\n"


def test_numbers_of_numpy_are_settings(small_text: Path, here: Path) -> None:
    settings = {**SMALL, "hidden": np.int64(8), "lr": np.float64(0.01), "steps": np.int32(1)}
    assert tuirnn.train(small_text, **settings).settings["hidden"] == 8


def test_what_is_shown(small_text: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = {**SMALL, "batch_size": 4096, "steps": 2}
    tuirnn.train(small_text, **wide)
    said = capsys.readouterr()
    assert said.out == ""
    assert "tuirnn: the data fill" in said.err
    tuirnn.train(small_text, progress=False, **wide)
    assert capsys.readouterr() == ("", "")
    tuirnn.train(small_text, progress=True, **wide)
    said = capsys.readouterr()
    assert "is done at step 2" in said.out
    assert "note: the data fill" in said.out


# ── runs ─────────────────────────────────────────────────────────────────────────


def test_metrics_are_columns(small_run: RunPaths) -> None:
    run = tuirnn.Run(small_run.root)
    records = [record for record in LogTail(small_run.metrics).read() if "step" in record]
    table = run.metrics()
    assert table["step"].tolist() == [record["step"] for record in records]
    assert table["step"].dtype == np.int64
    assert table["split"].tolist() == [record["split"] for record in records]
    for name in ("loss", "loss_blocks", "grad_norm"):
        expected = [record.get(name, np.nan) for record in records]
        np.testing.assert_array_equal(table[name], np.array(expected, np.float64))
    assert len({len(column) for column in table.values()}) == 1
    assert run.metrics("val")["step"].tolist() == [10, 20]
    assert len(run.metrics("train")["loss"]) == 20
    assert "22 records: step, split" in repr(table)
    with pytest.raises(ConfigError, match="split must be 'train' or 'val', not 'test'"):
        run.metrics("test")


def test_metrics_as_a_data_frame_or_the_word_how_to_get_it(small_run: RunPaths) -> None:
    table = tuirnn.Run(small_run.root).metrics()
    try:
        import pandas
    except ImportError:
        with pytest.raises(ConfigError, match="pip install pandas"):
            table.to_pandas()
    else:
        frame = table.to_pandas()
        assert isinstance(frame, pandas.DataFrame)
        assert list(frame.columns) == list(table)


def test_a_run_shows_itself(small_run: RunPaths, here: Path) -> None:
    run = tuirnn.Run(small_run.name, runs=small_run.root.parent)
    figure = run.plot(here / "curves.svg")
    assert (here / "curves.svg").read_bytes().startswith(b"<?xml")
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"ends in \.svg, \.png or \.pdf, not 'curves\.doc'"):
        run.plot(here / "curves.doc")
    with pytest.raises(ConfigError, match="--by 'week'"):
        run.plot(by="week")
    assert run.unit == "nats/char"
    assert run.task == "lm"
    assert run.parent is None


def test_a_run_that_is_not_there(here: Path) -> None:
    assert tuirnn.runs() == []
    with pytest.raises(RunError, match="no run 'nothing' in checkpoints"):
        tuirnn.Run("nothing")


def test_an_export_is_that_of_the_command(small_run: RunPaths, answer: Callable[..., Answer], here: Path) -> None:
    path = tuirnn.Run(small_run.root).export("mine.onnx", checkpoint=10, precision="fp16", max_loss_increase=9.0)
    given = ("--checkpoint", "10", "--precision", "fp16", "--max-loss-increase", "9")
    assert answer("export", str(small_run.root), "-o", "theirs.onnx", *given).code == 0
    assert path.read_bytes() == (here / "theirs.onnx").read_bytes()
    with pytest.raises(ConfigError, match="--precision 'fp15'"):
        tuirnn.Run(small_run.root).export(precision="fp15")
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        tuirnn.Run(small_run.root).export("mine.bin")


# ── cells ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tokens", ["char", "byte", "word", "bpe"])
def test_a_text_is_that_of_the_command(
    tokens: str, trained: Callable[..., RunPaths], answer: Callable[..., Answer]
) -> None:
    run = trained(tokens=tokens)
    cell = tuirnn.load(run.root, tuirnn.TextCell)
    text = cell.generate("the ", 40, temperature=1.2, top_k=9, seed=5)
    given = ("--prime", "the ", "--length", "40", "--temperature", "1.2", "--top-k", "9", "--seed", "5", "--json")
    assert json.loads(answer("generate", str(run.root), *given).out)["text"] == text
    assert sum(cell.predict("the qu").values()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("tokens", ["char", "byte", "bpe"])
def test_a_state_is_kept_and_gone_back_to(tokens: str, trained: Callable[..., RunPaths], here: Path) -> None:
    cell = tuirnn.load(tuirnn.Run(trained(tokens=tokens).root))
    assert isinstance(cell, tuirnn.TextCell)
    cell.read("the quick é"[: 11 if tokens == "char" else 10])
    if tokens != "char":
        cell.step(0xC3)  # the first half of a character
    before = cell.state
    cell.save_state(here / "state.safetensors")
    expected = "".join(cell.write(30, seed=3))
    assert cell.state.keys() == before.keys()
    assert not np.array_equal(cell.state["h"], before["h"])
    cell.predict("something else")
    cell.state = before
    assert "".join(cell.write(30, seed=3)) == expected
    other = tuirnn.load(tuirnn.Run(trained(tokens=tokens).root), tuirnn.TextCell)
    other.load_state(here / "state.safetensors")
    with contextlib.closing(other.write(30, seed=3)) as pieces:  # left half way, gone on with by steps
        begun = next(pieces) + next(pieces)
    assert expected.startswith(begun)
    assert np.isfinite(other.read("a")[0].nats)
    logits = other.step("fox")
    assert logits.shape == (len(other.vocab),)
    again = other.state
    assert np.array_equal(other.step("x"), (setattr(other, "state", again), other.step("x"))[1])


def test_a_state_of_another_network_is_refused(trained: Callable[..., RunPaths], here: Path) -> None:
    cell, other = (tuirnn.load(run.root) for run in (trained(), trained(cell="gru")))
    with pytest.raises(ConfigError, match=r"has a state of answer \[.*h \[1, 1, 24\], not of .* c \[1, 1, 24\]"):
        other.state = cell.state
    (here / "state").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="state is no saved state"):
        cell.load_state(here / "state")
    with pytest.raises(DataError, match="nowhere"):
        cell.load_state(here / "nowhere")
    with pytest.raises(DataError, match="cannot write"):
        cell.save_state(here / "no folder" / "state")


def test_what_a_network_does_not_read_is_refused(small_run: RunPaths) -> None:
    cell = tuirnn.load(small_run.root, tuirnn.TextCell)
    for fed, said in (("", "an empty text"), (10_000, "reads tokens from 0 to"), (0.5, "reads tokens")):
        with pytest.raises(ConfigError, match=said):
            cell.step(fed)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--temperature must be"):
        cell.generate(temperature=-1.0)
    with pytest.raises(ConfigError, match="length must be at least 0"):
        cell.generate(length=-1)
    with pytest.raises(ConfigError, match="writes text: it is a TextCell, not a Tagger"):
        tuirnn.load(small_run.root, tuirnn.Tagger)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: a classifier, a tagger, a forecaster."""
    folder = tmp_path_factory.mktemp("others")
    table = folder / "names.csv"
    table.write_text("text,label\n" + "".join(f"{'aeiou'[i % 5] * (i % 7 + 1)}{i},low\n{'xyz'[i % 3] * (i % 5 + 1)}{i},high\n" for i in range(40)))  # fmt: skip  # noqa: E501
    write_places(folder / "tags.conll")
    small = {**SMALL, "runs": folder / "runs", "steps": 4, "eval_every": 4}
    for unread in ("sample_length", "seq_len"):
        small.pop(unread)
    tuirnn.train(table, name="labels", task="classify", **small)
    tuirnn.train(folder / "tags.conll", name="tags", task="tag", **small)
    small.pop("embed")
    tuirnn.train("sincos", name="series", task="forecast", seq_len=16, **small)
    return folder / "runs"


def test_a_classifier_answers_as_the_command(others: Path, answer: Callable[..., Answer], here: Path) -> None:
    cell = tuirnn.load(others / "labels", tuirnn.Classifier)
    assert cell.classes == ("high", "low")
    one, two = cell.predict(["aaa1", "zz2"])
    alone = cell.predict("aaa1")
    assert alone.probabilities == pytest.approx(one.probabilities, abs=1e-6)
    said = json.loads(answer("predict", str(others / "labels"), "aaa1", "--json").out)
    assert [alone.probabilities[name] for name in said["classes"]] == pytest.approx(said["steps"][-1]["p"], abs=1e-6)
    assert one.label in cell.classes
    assert one.probability == max(one.probabilities.values()) != two.probability
    assert cell.step("a").shape == (2,)
    before = cell.state
    cell.save_state(here / "state")
    after = cell.step("b")
    other = tuirnn.load(others / "labels")
    other.load_state(here / "state")
    assert other.state.keys() == before.keys() == {"h", "c", "pooled", "answer"}
    assert np.array_equal(other.step("b"), after)
    (here / "state").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="state holds no state of a network"):
        cell.load_state(here / "state")
    with pytest.raises(ConfigError, match="an empty text"):
        cell.predict("")


def test_a_tagger_answers_as_the_command(others: Path, answer: Callable[..., Answer]) -> None:
    cell = tuirnn.load(others / "tags")
    assert isinstance(cell, tuirnn.Tagger)
    found = cell.predict("Anna lives in Berlin")
    said = json.loads(answer("predict", str(others / "tags"), "Anna lives in Berlin", "--json").out)
    assert found.words == ("Anna", "lives", "in", "Berlin")
    assert list(found.tags) == [word["tag"] for word in said["words"]]
    assert found.marked == said["marked"]
    assert [vars(span) for span in found.spans] == said["spans"]
    assert cell.predict(["Anna", "Berlin"])[1].words == ("Berlin",)


def test_a_forecaster_answers_as_the_command(others: Path, answer: Callable[..., Answer], here: Path) -> None:
    cell = tuirnn.load(others / "series", tuirnn.Forecaster)
    said = json.loads(answer("predict", str(others / "series"), "--horizon", "7", "--json").out)
    found = cell.predict(horizon=7)
    np.testing.assert_allclose(found, said["forecast"], rtol=1e-6)
    assert list(cell.columns) == said["columns"]
    history = np.random.default_rng(0).normal(size=(40, found.shape[1]))
    np.savetxt(here / "table.csv", history, delimiter=",", header=",".join(cell.columns), comments="")
    np.testing.assert_allclose(cell.predict(history, 5), cell.predict(here / "table.csv", 5), rtol=1e-5)
    assert cell.step(history[0]).shape == (found.shape[1],)
    with pytest.raises(ConfigError, match="goes on from points"):
        cell.predict(np.zeros((3, found.shape[1] + 1)))
    with pytest.raises(ConfigError, match="reads points of"):
        cell.step([1.0] * (found.shape[1] + 1))


def test_a_cell_file_is_loaded_too(others: Path, here: Path) -> None:
    path = tuirnn.Run("labels", runs=others).export(here / "labels.onnx")
    file, run = tuirnn.load(path, tuirnn.Classifier), tuirnn.load("labels", tuirnn.Classifier, runs=others)
    assert file.predict("eee").probabilities == pytest.approx(run.predict("eee").probabilities, abs=1e-6)
    assert "labels.onnx" in repr(file)
    with pytest.raises(TuirnnError, match=r"nowhere\.onnx"):
        tuirnn.load("nowhere.onnx")


def test_evaluations_and_checkpoints_are_events(small_text: Path, here: Path) -> None:
    kinds = {type(event) for event in tuirnn.events(small_text, **SMALL)}
    assert {Start, Step, Evaluation, Checkpoint, End} <= kinds
