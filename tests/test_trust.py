"""The promises of docs/durability.md and docs/threat-model.md in their short form; `make soak` has the long one."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import train_small
from trust import faults, kills, mutations, readers, rehashed
from waiting import wait

from tuirnn.errors import DivergedError, RunError, TuirnnError
from tuirnn.files import to_json
from tuirnn.runs import checkpoint, housekeeping
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import list_runs
from tuirnn.runs.reader import LogTail, present_record, read_record, read_status
from tuirnn.training import launch
from tuirnn.training.channel import ControlChannel

# ── kills, faults, flips, mutations ──────────────────────────────────────────────


def test_a_training_killed_anywhere_ends_with_the_same_bits(tmp_path: Path) -> None:
    count = 15 if os.environ.get("TUIRNN_LONG") else 6
    assert kills.over_training(tmp_path, count)["kills"] == count


def test_no_acknowledged_record_is_lost_to_a_kill(tmp_path: Path) -> None:
    assert kills.over_records(tmp_path, 20)["lost"] == 0


@pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="the failing disk is written in C")
@pytest.mark.parametrize("error", faults.ERRORS if os.environ.get("TUIRNN_LONG") else faults.ERRORS[:1])
def test_a_disk_that_fails_anywhere_loses_nothing(error: str, tmp_path: Path) -> None:
    counted = faults.at_every(
        tmp_path, errors=(error,), stays=(error == "ENOSPC",), cell="gru", steps=3, checkpoint_every=2, eval_every=99
    )
    assert counted["faults"] > 50


def test_no_flipped_bit_loads(tmp_path: Path) -> None:
    assert mutations.bit_flips(tmp_path, 500)["silent loads"] == 0


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run whose files are mutated."""
    folder = tmp_path_factory.mktemp("mutations")
    mutations.prepare(folder)
    return folder


TOLERATED = ("metrics", "status", "control")
"""Files whose damage is reported beside what can still be read."""


@pytest.mark.parametrize("kind", mutations.kinds())
def test_mutated_files_get_one_line_or_an_answer(kind: str, seed: Path) -> None:
    refused = mutations.mutated(seed, kind, 2000 if os.environ.get("TUIRNN_LONG") else 800)["refused"]
    assert refused == 0 if kind in TOLERATED else refused > 0


def test_both_runtimes_agree_on_changed_cells_with_a_new_hash(tmp_path: Path) -> None:
    """600 changed structures: on those that inspection accepts, ONNX Runtime and ONNX's evaluator agree."""
    found = rehashed.rehashed(tmp_path, 600)
    assert found["agreed"] >= 60
    assert found["differed"] + found["crashed"] == 0


def test_a_checkpoint_replaced_while_it_is_read_is_read_again(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same step is saved again with another loss between a reader's manifest and its last file."""
    good = checkpoint.load(run, "last")
    newer = {**good.files, checkpoint.TRAINER: good.files[checkpoint.TRAINER] + b" "}
    read_bounded, replaced = checkpoint.read_bounded, []

    def read(path: Path, *arguments: Any) -> bytes:
        if path.name == checkpoint.TRAINER and not replaced:
            replaced.append(checkpoint.save(run, good.step, newer))
        return read_bounded(path, *arguments)

    monkeypatch.setattr(checkpoint, "read_bounded", read)
    assert checkpoint.load(run, "last").files == newer
    assert replaced


def test_one_trainer_and_ten_readers(tmp_path: Path) -> None:
    assert readers.with_readers(tmp_path, 6)["torn"] == 0


def test_a_signal_at_any_instant_leaves_a_checkpoint_of_the_step(tmp_path: Path) -> None:
    assert readers.leaving(tmp_path, 2, within=1.0)["trials"] == 2


def test_many_runs_are_all_listed(tmp_path: Path) -> None:
    assert readers.many_runs(tmp_path, 100, rounds=1)["runs"] == 100


# ── resuming with other settings, divergence, signals ────────────────────────────


def test_more_data_on_resume(run: RunPaths, small_text: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.txt"
    more.write_text(small_text.read_text() * 2)
    notes: list[str] = []
    launch.resume(
        run, {"sources": (str(more),), "steps": 30}, lambda event: notes.append(getattr(event, "message", ""))
    )
    assert any("more.txt" in note for note in notes)
    record = present_record(run)
    assert record.data["name"] == "more.txt"
    assert record.data["sha256"] != read_record(run).data["sha256"]
    launch.resume(run, {"steps": 40}, lambda event: None)  # the history is enough to find the data again
    assert [r["step"] for r in LogTail(run.metrics).read() if r["split"] == "train"] == list(range(1, 41))
    strange = tmp_path / "strange.txt"
    strange.write_text("ζ" * 9000)
    with pytest.raises(TuirnnError, match=r"1 characters that run 'one' does not know, such as 'ζ'"):
        launch.resume(run, {"sources": (str(strange),), "steps": 50}, lambda event: None)


def test_a_run_without_a_checkpoint_begins_again(run: RunPaths) -> None:
    whole = checkpoint.load(run, "last").files[checkpoint.MODEL]
    for step in checkpoint.steps(run):
        shutil.rmtree(run.step(step))
    launch.resume(run, {}, lambda event: None)
    assert checkpoint.load(run, "last").files[checkpoint.MODEL] == whole


def test_rollback_goes_on_at_a_lower_rate(tmp_path: Path, small_text: Path) -> None:
    """A rate at which a relu RNN diverges at once is halved until it does not."""
    settings: dict[str, Any] = {"lr": 64.0, "clip": 0.0, "warmup": 0, "optimizer": "sgd", "schedule": "constant",
                                "cell": "rnn", "nonlinearity": "relu", "steps": 30, "checkpoint_every": 15}  # fmt: skip
    with pytest.raises(DivergedError):
        train_small(tmp_path, "stop", small_text, **settings)
    paths = train_small(tmp_path, "back", small_text, on_nan="rollback", **settings)
    events = LogTail(paths.events).read()
    rollbacks = [event for event in events if event["event"] == "rollback"]
    assert rollbacks
    assert rollbacks[-1]["lr_scale"] == 0.5 ** len(rollbacks)
    metrics = [r for r in LogTail(paths.metrics).read() if r["split"] == "train"]
    assert [r["step"] for r in metrics] == list(range(1, 31))
    assert metrics[-1]["lr"] < 64.0
    assert read_status(paths).state == "done"


def test_an_evaluation_is_cut_short_and_made_up_for(
    tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that comes in the middle of the first sample; the resumed run is as if it had not come."""
    settings: dict[str, Any] = {"steps": 6, "eval_every": 4, "checkpoint_every": 4}
    whole = train_small(tmp_path, "whole", small_text, **settings, sample_length=200)
    check, checks = ControlChannel.check, itertools.count(1)

    def check_and_signal(channel: ControlChannel) -> None:
        if next(checks) == 100:  # one check a token
            signal.raise_signal(signal.SIGTERM)
        check(channel)

    monkeypatch.setattr(ControlChannel, "check", check_and_signal)
    assert launch.start(read_record(whole).config, tmp_path, "parts", lambda event: None) == "SIGTERM"
    assert next(checks) == 101, "nothing was evaluated after the signal"
    parts = RunPaths(tmp_path / "parts")
    assert not [r for r in LogTail(parts.metrics).read() if r["split"] == "val"]
    launch.resume(parts, {}, lambda event: None)
    for run in (whole, parts):
        (run.root / "cell.onnx").write_bytes(b"")
    kills.same_run(whole, parts)


def test_a_detached_run_ignores_a_hang_up(tmp_path: Path, small_text: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tuirnn", "train", str(small_text), "--runs", str(tmp_path), "--hidden", "16",
               "--name", "one", "--steps", "300", "--detach"]  # fmt: skip
    subprocess.run(command, env=environment, capture_output=True, check=True)
    paths = RunPaths(tmp_path / "one")
    wait(lambda: read_status(paths).step >= 5)
    os.kill(read_status(paths).pid, signal.SIGHUP)
    wait(lambda: not read_status(paths).live)
    assert read_status(paths).state == "done"


# ── repair, export ───────────────────────────────────────────────────────────────


def test_repair_rebuilds_what_it_can(run: RunPaths) -> None:
    assert list(housekeeping.repair(run)) == []
    kept = read_record(run)
    lines = run.metrics.read_bytes().splitlines(keepends=True)
    run.metrics.write_bytes(b"".join([*lines[:3], b"{broken\n", *lines[3:]]))
    model = run.step(20) / checkpoint.MODEL
    model.write_bytes(model.read_bytes()[:-1])
    run.record.write_bytes(b"")
    run.status.unlink()
    (run.root / "last").unlink()
    said = "\n".join(housekeeping.repair(run))
    assert "run.json: rebuilt from checkpoint 10" in said
    assert "metrics.jsonl: 1 damaged lines left out" in said
    assert "model.safetensors is damaged" in said
    assert "last: points to step 10 now" in said
    assert "status.json: rebuilt" in said
    assert read_record(run) == kept
    assert run.metrics.read_bytes() == b"".join(lines)
    assert read_status(run).state == "stopped"
    assert len(list(run.root.glob(".*damaged-*"))) == 3
    assert list(housekeeping.repair(run)) == []
    launch.resume(run, {}, lambda event: None)
    assert [r["step"] for r in LogTail(run.metrics).read() if r["split"] == "train"] == list(range(1, 21))


def test_what_cannot_be_repaired_is_said(run: RunPaths) -> None:
    run.record.unlink()
    for step in checkpoint.steps(run):
        shutil.rmtree(run.step(step))
    with pytest.raises(RunError, match=r"no checkpoint holds a copy: the run cannot be rebuilt"):
        list(housekeeping.repair(run))


def test_metrics_as_csv_and_for_tensorboard(run: RunPaths, tmp_path: Path) -> None:
    import csv

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from tuirnn.runs.export import to_csv, to_tensorboard

    with open(run.metrics, "ab") as file:
        file.write(to_json({"step": 21, "split": "train", "loss": float("nan"), "extra": "=cmd()"}) + b"\n")
    records = LogTail(run.metrics).read()
    assert to_csv(run, tmp_path / "out.csv") == len(records)
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows[:-1]] == [record["loss"] for record in records[:-1]]
    assert rows[-1]["extra"] == "'=cmd()"
    assert to_tensorboard(run, tmp_path / "board") > 40
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    losses = {event.step: event.value for event in board.Scalars("train/loss")}
    expected = {r["step"]: r["loss"] for r in records if r["split"] == "train" and r["step"] <= 20}
    assert {step: losses[step] for step in expected} == pytest.approx(expected)


def test_a_damaged_run_is_listed_with_its_problem(run: RunPaths) -> None:
    run.record.write_text("{")
    (found,) = list_runs(run.root.parent)
    assert "damaged" in found.problem
