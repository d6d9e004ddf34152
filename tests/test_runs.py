"""The run directory: one writer, tolerant readers, checkpoints that are whole or not there."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, RunError
from tuirnn.files import atomic_write, to_json
from tuirnn.runs import checkpoint, control, detached, housekeeping
from tuirnn.runs.layout import RunPaths, check_name, find_run, free_name, run_names
from tuirnn.runs.listing import list_runs
from tuirnn.runs.reader import LogTail, RunRecord, Status, as_number, read_record, read_status
from tuirnn.runs.writer import RunWriter
from tuirnn.vocab import Vocabulary

FILES = {
    checkpoint.MODEL: b"model",
    checkpoint.OPTIMIZER: b"optimizer",
    checkpoint.TRAINER: b"{}",
    checkpoint.RECORD: b"{}",
}


def record() -> RunRecord:
    return RunRecord(RunConfig(), Vocabulary("char", ("a", "b")), {"name": "x", "sha256": "0"}, {}, 1.0, 10)


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    with RunWriter.create(tmp_path, "one", record()) as made:
        yield made


def test_record_round_trip(writer: RunWriter) -> None:
    assert read_record(writer.paths) == record()


def test_a_second_writer_is_refused_in_this_and_another_process(writer: RunWriter) -> None:
    with pytest.raises(RunError, match="another process"):
        RunWriter(writer.paths)
    script = f"""
from pathlib import Path
from tuirnn.runs.writer import RunWriter
from tuirnn.runs.layout import RunPaths
RunWriter(RunPaths(Path({str(writer.paths.root)!r})))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "another process" in done.stderr
    writer.close()
    RunWriter(writer.paths).close()


def test_a_taken_name_is_refused(writer: RunWriter) -> None:
    with pytest.raises(RunError, match="--resume one"):
        RunWriter.create(writer.paths.root.parent, "one", record())


@given(st.text())
def test_names_stay_inside_the_folder(name: str) -> None:
    try:
        check_name(name)
    except RunError as error:
        assert "\n" not in str(error)
    else:
        assert Path(name).name == name
        assert not name.startswith(".")


def test_finding_runs(writer: RunWriter, tmp_path: Path) -> None:
    assert find_run(tmp_path, "one").root == tmp_path / "one"
    assert find_run(tmp_path / "elsewhere", str(tmp_path / "one")).root == tmp_path / "one"
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert run_names(tmp_path) == ["one"]
    for wrong in ("on", "..", "", "a\0b", "../one", "link"):
        with pytest.raises(RunError):
            find_run(tmp_path, wrong)
    assert free_name(tmp_path, "one") == "one-2"


@pytest.mark.parametrize(
    ("name", "why"),
    [("CON", "a device"), ("nul.txt", "a device"), ("com3", "a device"), ("run.", "a dot"), ("One", "upper case")],
)
def test_names_that_not_every_system_can_have(writer: RunWriter, tmp_path: Path, name: str, why: str) -> None:
    """Refused when a run is made, started in the background, or renamed; a run that has such a name is still read."""
    with pytest.raises(RunError, match=why):
        RunWriter.create(tmp_path, name, record())
    with pytest.raises(RunError, match=why):
        detached.start(RunConfig(), tmp_path, name)
    with RunWriter.create(tmp_path, "two", record()) as other:
        pass
    with pytest.raises(RunError, match=why):
        housekeeping.rename(other.paths, name)
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]
    (tmp_path / "two").rename(tmp_path / name)
    assert find_run(tmp_path, name).name == name
    assert name in run_names(tmp_path)
    assert read_record(find_run(tmp_path, name)) == record()
    RunWriter(find_run(tmp_path, name)).close()


def test_a_free_name_is_free_on_every_system(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, "LSTM-8", record()) as made:
        pass
    assert free_name(tmp_path, "lstm-8") == "lstm-8-2"
    assert housekeeping.rename(made.paths, "lstm-8").name == "lstm-8"  # its own name in other letters
    assert [check_name(name) for name in ("console", "com", "lpt10", "run.1")] == ["console", "com", "lpt10", "run.1"]


# ── logs ─────────────────────────────────────────────────────────────────────────


def test_a_reader_misses_nothing(writer: RunWriter) -> None:
    tail = LogTail(writer.paths.metrics)
    assert tail.read() == []
    writer.append("metrics", {"step": 1, "loss": math.nan}, {"step": 2, "loss": math.inf})
    first = tail.read()
    assert math.isnan(as_number(first[0]["loss"]))
    assert as_number(first[1]["loss"]) == math.inf
    writer.append("metrics", {"step": 3, "loss": 1.5})
    assert tail.read() == [{"step": 3, "loss": 1.5}]
    assert LogTail(writer.paths.metrics).read() == [*first, {"step": 3, "loss": 1.5}]


@given(cut=st.integers(0, 60), garbage=st.binary(max_size=30))
def test_torn_tails_wait_and_damage_is_counted(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    path = tmp_path_factory.mktemp("log") / "m.jsonl"
    lines = [to_json({"step": i}) + b"\n" for i in range(5)]
    whole = b"".join(lines)
    path.write_bytes(whole[:cut])
    tail = LogTail(path)
    got = tail.read()
    path.write_bytes(whole[: min(cut, len(whole))])  # the same bytes again: nothing new
    with open(path, "ab") as file:
        file.write(whole[cut:] + garbage.replace(b"\n", b"") + b"\n")
    rest = LogTail(path).read()
    assert [r["step"] for r in got] == list(range(len(got)))
    assert [r["step"] for r in rest[:5]] == list(range(5))


def test_rewinding_is_seen_by_readers(writer: RunWriter) -> None:
    tail = LogTail(writer.paths.metrics)
    writer.append("metrics", {"step": 1})
    lengths = writer.lengths()
    writer.append("metrics", {"step": 2})
    assert len(tail.read()) == 2
    writer.rewind(lengths)
    writer.append("metrics", {"step": 2, "again": True}, {"step": 3})
    assert [r["step"] for r in tail.read()] == [1, 2, 3]
    assert tail.generation == 1


def test_a_torn_last_line_is_cut_when_the_writer_returns(writer: RunWriter) -> None:
    writer.append("metrics", {"step": 1})
    writer.close()
    with open(writer.paths.metrics, "ab") as file:
        file.write(b'{"step": 2, "lo')
    with RunWriter(writer.paths) as again:
        again.append("metrics", {"step": 2})
        assert [r["step"] for r in LogTail(writer.paths.metrics).read()] == [1, 2]


# ── status ───────────────────────────────────────────────────────────────────────


def test_status_of_the_living_and_the_dead(writer: RunWriter) -> None:
    import socket

    now = time.time()
    writer.status(Status(state="running", pid=os.getpid(), host=socket.gethostname(), heartbeat=now, val_loss=math.nan))
    assert read_status(writer.paths).state == "running"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    writer.status(Status(state="running", pid=child.pid, host=socket.gethostname()))
    assert read_status(writer.paths).state == "stale"
    writer.status(Status(state="running", pid=1, host="elsewhere", heartbeat=0.0))
    writer.close()
    assert read_status(writer.paths).state == "stale"


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(["state", "step", "pid", "val_loss", "x"]),
       st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers())).map(to_json))  # fmt: skip
def test_a_damaged_status_is_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    paths = RunPaths(tmp_path_factory.mktemp("run"))
    paths.status.write_bytes(data)
    assert isinstance(read_status(paths).state, str)


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"config": 3}, {"config": {"model": {"cell": "x"}}}, {"vocab": []}, {"parameters": "x"}]
)
def test_damaged_records_are_listed_as_such(writer: RunWriter, change: dict[str, Any]) -> None:
    value = record().to_json() | change
    writer.paths.record.write_bytes(to_json(value))
    with pytest.raises(RunError, match="one"):
        read_record(writer.paths)
    (summary,) = list_runs(writer.paths.root.parent)
    assert summary.record is None
    assert summary.problem


# ── control ──────────────────────────────────────────────────────────────────────


def test_requests_arrive_in_order_and_malformed_ones_are_dropped(writer: RunWriter) -> None:
    control.send(writer.paths, control.Request("lr", 0.5))
    control.send(writer.paths, control.Request("stop"))
    for name, data in (("0.json", b"{"), ("1.json", b'{"kind": "boom"}'), ("2.json", b'{"kind": "lr", "value": "x"}'),
                       ("3.json", b'{"kind": "lr", "value": 1e99}')):  # fmt: skip
        (writer.paths.control / name).write_bytes(data)
    taken = control.take(writer.paths)
    assert [request.kind for request in taken] == ["lr", "stop"]
    assert control.take(writer.paths) == []
    with pytest.raises(ConfigError, match="stop"):
        control.Request("stpo")


# ── checkpoints ──────────────────────────────────────────────────────────────────


def test_checkpoints_are_verified_pruned_and_pointed_at(writer: RunWriter) -> None:
    paths = writer.paths
    for step in (1, 2, 3, 4):
        checkpoint.save(paths, step, FILES)
    checkpoint.point(paths, "best", 2)
    checkpoint.point(paths, "last", 4)
    checkpoint.prune(paths, 1)
    assert checkpoint.steps(paths) == [2, 4]
    assert checkpoint.load(paths, "best").step == 2
    assert checkpoint.load(paths, "last").step == 4
    assert checkpoint.load(paths, "2").files == FILES
    with pytest.raises(RunError, match="best"):
        checkpoint.load(paths, "bset")


@given(which=st.sampled_from(sorted([*FILES, checkpoint.MANIFEST])), bit=st.integers(0, 10_000))
def test_a_flipped_bit_is_named(tmp_path_factory: pytest.TempPathFactory, which: str, bit: int) -> None:
    paths = RunPaths(tmp_path_factory.mktemp("run"))
    for step in (1, 2):
        checkpoint.save(paths, step, {**FILES, checkpoint.MODEL: bytes(200)})
    path = paths.step(2) / which
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)
    try:
        loaded = checkpoint.load(paths, "2")
    except RunError as error:
        assert "step_00000002" in str(error)
        assert "newest good checkpoint is step 1" in str(error)
    else:  # white space in the manifest may become other white space
        assert which == checkpoint.MANIFEST
        assert loaded.files[checkpoint.MODEL] == bytes(200)


@pytest.mark.parametrize("fault", ["mkdir", "open", "fsync", "rename", "replace"])
def test_a_failed_save_leaves_the_one_before(writer: RunWriter, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = writer.paths
    checkpoint.save(paths, 1, FILES)
    checkpoint.point(paths, "last", 1)
    before = sorted(p.name for p in paths.root.iterdir())

    def fail(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    target = {"open": "builtins.open", "mkdir": "pathlib.Path.mkdir"}.get(fault, f"os.{fault}")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(target, fail)
        checkpoint.save(paths, 2, FILES)
        checkpoint.point(paths, "last", 2)
    if fault != "replace":
        assert sorted(p.name for p in paths.root.iterdir()) == before
    assert checkpoint.load(paths, "last").step == 1


def test_atomic_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    atomic_write(path, b"old")

    def fail(*args: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_without_surprises() -> None:
    data = to_json({"a": [math.nan, math.inf, -math.inf, 1.5], "s": "\ud800"})
    assert json.loads(data)["a"] == ["NaN", "Infinity", "-Infinity", 1.5]
