"""Reading logs: whole, in pieces, truncated, damaged."""

from pathlib import Path

import numpy as np
import pytest

from tuirnn.errors import RunError
from tuirnn.runlog import feed as feed_module
from tuirnn.runlog.feed import KEPT_EVALUATIONS, RunFeed
from tuirnn.runlog.folder import FolderWatch
from tuirnn.runlog.snapshot import last_text
from tuirnn.runlog.track import Column
from tuirnn.runs.housekeeping import remove
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import Status
from tuirnn.runs.writer import RunWriter

from .conftest import add_evaluation, write_run


def read_all(feed: RunFeed, limit: int = 1000) -> None:
    while feed.advance(limit):
        pass


def test_reading_in_pieces_gives_the_same_as_reading_whole(tmp_path: Path) -> None:
    paths = write_run(tmp_path, "run")
    whole, pieces = RunFeed(paths, 0.9), RunFeed(paths, 0.9)
    read_all(whole, 10**6)
    read_all(pieces, 7)
    a, b = whole.snapshot, pieces.snapshot
    assert len(a.train.step) == 300
    assert len(a.val.step) == 2
    np.testing.assert_array_equal(a.train["loss"].values, b.train["loss"].values)
    np.testing.assert_allclose(a.smooth.values, b.smooth.values, rtol=1e-6)
    assert a.evaluations == b.evaluations
    assert last_text(a) == "the sample of step 300"
    assert a.evaluations[0].mistakes is not None
    assert a.evaluations[0].mistakes.guesses == tuple("cob\nbbt")


def test_new_records_are_added_and_an_old_snapshot_stays(tmp_path: Path) -> None:
    paths = write_run(tmp_path, "run")
    feed = RunFeed(paths)
    read_all(feed)
    before, seen = feed.snapshot, feed.signature()
    with RunWriter(paths) as writer:
        writer.append("metrics", {"step": 301, "split": "train", "loss": "NaN"})
        add_evaluation(writer, 301, "later")
    assert feed.signature() != seen
    read_all(feed)
    assert len(before.train.step) == 300
    assert len(feed.snapshot.train.step) == 301
    assert np.isnan(feed.snapshot.train["loss"].values[-1])
    assert last_text(feed.snapshot) == "later"


def test_a_rewound_log_is_read_again(tmp_path: Path) -> None:
    paths = write_run(tmp_path, "run")
    feed = RunFeed(paths)
    read_all(feed)
    with RunWriter(paths) as writer:
        lines = paths.metrics.read_bytes().splitlines(keepends=True)
        samples = paths.samples.read_bytes().splitlines(keepends=True)
        writer.rewind({"metrics": sum(map(len, lines[:100])), "samples": sum(map(len, samples[:2])), "probes": 0})
        writer.append("metrics", {"step": 101, "split": "train", "loss": 0.5})
    read_all(feed)
    assert len(feed.snapshot.train.step) == len(feed.snapshot.smooth.values) == 101
    assert [one.step for one in feed.snapshot.evaluations] == [150]


def test_damaged_and_foreign_records_are_skipped(tmp_path: Path) -> None:
    paths = write_run(tmp_path, "run")
    with open(paths.metrics, "ab") as file:
        file.write(
            b'{"step": 1, "split": ["train"], "loss": 1}\n{"step": "x", "split": "train"}\nnot json\n'
            b'{"split": "val", "step": 9, "loss": null}\n{"torn'
        )
    with open(paths.samples, "ab") as file:
        file.write(
            b'{"step": 5, "kind": "sample", "text": 7}\n{"step": 5, "kind": "mistakes", "symbols": "abc"}\n'
            b'{"step": 6, "kind": "mistakes", "symbols": ["a", 1], "nats": [1, 1], "guesses": ["a", "b"]}\n'
        )
    feed = RunFeed(paths)
    read_all(feed)
    assert len(feed.snapshot.train.step) == 300
    assert len(feed.snapshot.val.step) == 3
    assert np.isnan(feed.snapshot.val["loss"].values[-1])
    assert feed.snapshot.damaged == 1
    assert [one.step for one in feed.snapshot.evaluations] == [150, 300]


def test_another_smoothing_does_not_change_the_curve(tmp_path: Path) -> None:
    feed = RunFeed(write_run(tmp_path, "run"), 0.9)
    read_all(feed)
    before = feed.snapshot
    feed.beta = 0.0
    assert not feed.advance()
    np.testing.assert_allclose(feed.snapshot.smooth.values, before.train["loss"].values, rtol=1e-6)
    np.testing.assert_array_equal(feed.snapshot.train["loss"].values, before.train["loss"].values)


def test_only_the_newest_evaluations_are_kept(tmp_path: Path) -> None:
    paths = write_run(tmp_path, "run")
    with RunWriter(paths) as writer:
        many = range(1000, 1000 + KEPT_EVALUATIONS + 5)
        writer.append("samples", *({"step": k, "kind": "sample", "text": str(k)} for k in many))
    feed = RunFeed(paths)
    read_all(feed)
    assert len(feed.snapshot.evaluations) == KEPT_EVALUATIONS
    assert feed.snapshot.evaluations[-1].step == many[-1]


def test_columns_grow() -> None:
    column = Column()
    for start in range(0, 5000, 700):
        column.extend(np.arange(start, start + 700.0))
    np.testing.assert_array_equal(column.view(), np.arange(5600.0))


def test_the_folder_is_read_again_only_where_it_changed(folder: Path, night_shift: RunWriter) -> None:
    watch = FolderWatch(folder)
    first = watch.scan()
    assert [run.name for run in first] == ["night-shift", "finished"]
    assert all(new is old for new, old in zip(watch.scan(), first, strict=True))
    night_shift.status(Status(state="done", step=700))
    (folder / "finished" / "run.json").write_text("{")
    damaged, done = sorted(watch.scan(), key=lambda run: run.name)
    assert done.status.state == "done"
    assert damaged.record is None
    assert damaged.problem


def test_a_run_whose_trainer_died_is_stale_at_the_next_look(tmp_path: Path) -> None:
    paths = write_run(tmp_path, "run", state="running")
    watch = FolderWatch(tmp_path)
    with RunWriter(paths):
        assert watch.scan()[0].status.state == "running"
    assert watch.scan()[0].status.state == "stale"


def test_an_absent_folder_has_no_runs(tmp_path: Path) -> None:
    assert FolderWatch(tmp_path / "nowhere").scan() == []


def test_deleting(folder: Path) -> None:
    remove(RunPaths(folder / "finished"))
    assert [entry.name for entry in folder.iterdir()] == ["night-shift"]
    with pytest.raises(RunError, match="is training"):
        remove(RunPaths(folder / "night-shift"))
    held = write_run(folder, "held")
    with RunWriter(held), pytest.raises(RunError, match="being trained by another process"):
        remove(held)
    assert held.record.is_file()


def test_a_long_log_is_previewed_first_and_then_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_run(tmp_path, "run", steps=3000)
    plain = RunFeed(paths, 0.9)
    read_all(plain)
    assert plain.snapshot.share == 1
    monkeypatch.setattr(feed_module, "LONG", 1000)
    monkeypatch.setattr(feed_module, "PREVIEW_POSITIONS", 20)
    monkeypatch.setattr(feed_module, "PREVIEW_BYTES", 500)
    feed = RunFeed(paths, 0.9)
    assert feed.advance(500)
    preview = feed.snapshot
    assert preview.share == 0
    assert 20 <= len(preview.train) < 300
    assert (preview.train.step.values[0], preview.train.step.values[-1]) == (1, 3000)
    assert set(preview.train.step.values) <= set(plain.snapshot.train.step.values)
    assert feed.advance(500)
    assert 0 < feed.snapshot.share < 1
    np.testing.assert_array_equal(feed.snapshot.train.step.values, preview.train.step.values)
    read_all(feed, 500)
    assert feed.snapshot.share == 1
    for name in ("loss", "grad_norm", "lr"):
        np.testing.assert_array_equal(feed.snapshot.train[name].values, plain.snapshot.train[name].values)
    np.testing.assert_allclose(feed.snapshot.smooth.values, plain.snapshot.smooth.values, rtol=1e-6)


def test_whatever_a_run_records_becomes_a_column(tmp_path: Path) -> None:
    paths = write_run(tmp_path, "run", steps=10)
    with RunWriter(paths) as writer:
        writer.append("metrics", {"step": 11, "split": "train", "loss": 1.0, "entropy": 0.5})
        writer.append("metrics", {"split": "train", "step": 12, "entropy": "Infinity", "loss": 10**400, "note": "x"})
    feed = RunFeed(paths)
    read_all(feed)
    train = feed.snapshot.train
    assert train["entropy"].values[-2:].tolist() == [0.5, np.inf]
    assert np.isnan(train["entropy"].values[:10]).all()
    assert train["loss"].values[-1] == np.inf
    assert np.isnan(train["grad_norm"].values[-1])
    assert "note" not in train.values
