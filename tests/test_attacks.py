"""Hostile run directories: a resume answers with one line, quickly, in little memory, and touches nothing outside."""

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from trust import kills

from tuirnn.errors import TuirnnError
from tuirnn.files import to_json
from tuirnn.runs import checkpoint, control
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import list_runs
from tuirnn.training import launch


class Canary:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def _sign(run: RunPaths, **files: bytes) -> None:
    """Write files into the last checkpoint, with a manifest that fits them."""
    good = checkpoint.load(run, "last")
    checkpoint.save(run, good.step, {**good.files, **files})


def _replace_file(name: str, content: bytes) -> Callable[[RunPaths], None]:
    return lambda run: _sign(run, **{name: content})


def _in_float64(run: RunPaths, file: str, ending: str) -> None:
    """Tensors whose names end so become wider, the manifest with them."""
    tensors = load_tensors(checkpoint.load(run, "last").files[file])
    wide = {name: tensor.double() if name.endswith(ending) else tensor for name, tensor in tensors.items()}
    _sign(run, **{file: save_tensors(wide)})


def _link(name: str) -> Callable[[RunPaths], None]:
    def attack(run: RunPaths) -> None:
        target = run.root / name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        outside = run.root.parent / "outside"
        outside.mkdir() if name in ("control", "step_00000020") else outside.write_text("kept")
        target.symlink_to(outside)

    return attack


def _pipe(name: str) -> Callable[[RunPaths], None]:
    def attack(run: RunPaths) -> None:
        (run.root / name).unlink()
        os.mkfifo(run.root / name)

    return attack


def _write(name: str, content: bytes) -> Callable[[RunPaths], None]:
    def attack(run: RunPaths) -> None:
        (run.root / name).write_bytes(content)

    return attack


def _sparse(name: str, size: int) -> Callable[[RunPaths], None]:
    def attack(run: RunPaths) -> None:
        os.truncate(run.root / name, size)

    return attack


HUGE_HEADER = (2**40).to_bytes(8, "little") + b"{}"
LYING_HEADER = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
DEEP = b"[" * 1_000_000
ATTACKS: dict[str, Callable[[RunPaths], None]] = {
    "model is a huge header": _replace_file(checkpoint.MODEL, HUGE_HEADER),
    "model lies about its size": _replace_file(
        checkpoint.MODEL, len(LYING_HEADER).to_bytes(8, "little") + LYING_HEADER
    ),
    "optimizer in another precision": lambda run: _in_float64(run, checkpoint.OPTIMIZER, ".exp_avg"),
    "carried state in another precision": lambda run: _in_float64(run, checkpoint.OPTIMIZER, "carried.0.0"),
    "optimizer is a huge header": _replace_file(checkpoint.OPTIMIZER, HUGE_HEADER),
    "trainer is deep": _replace_file(checkpoint.TRAINER, DEEP),
    "trainer is a list": _replace_file(checkpoint.TRAINER, b"[]"),
    "record is deep": _write("run.json", DEEP),
    "record is 64 MB": _write("run.json", b'{"a":[' + b"[]," * 21_000_000 + b"0]}"),
    "record is a link": _link("run.json"),
    "record is a pipe": _pipe("run.json"),
    "metrics is a link": _link("metrics.jsonl"),
    "metrics is a pipe": _pipe("metrics.jsonl"),
    "events is a link": _link("events.jsonl"),
    "lock is a link": _link("lock"),
    "last leads out": _write("last", b"../../outside\n"),
    "checkpoint is a link": _link("step_00000020"),
    "manifest is sparse": _sparse("step_00000020/manifest.json", 2**40),
    "model is sparse": _sparse("step_00000020/model.safetensors", 2**42),
}
CONTINUED = ("last leads out", "checkpoint is a link", "manifest is sparse", "model is sparse")
"""Attacks after which a resume continues from what is intact."""


def _resume(run: RunPaths, answer: Path) -> None:
    """List and resume; the error's line stands in `answer`. Exit code 1 for a traceback, 9 for a gigabyte."""
    list_runs(run.root.parent)
    said = ""
    try:
        launch.resume(run, {"steps": 21}, lambda event: None)
    except TuirnnError as error:
        said = str(error)
    answer.write_text(said)
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 2**20:
        os._exit(9)


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_on_a_run_get_one_line(attack: str, run: RunPaths) -> None:
    """A resume answers each attack within seconds, in little memory, and touches nothing outside the run."""
    ATTACKS[attack](run)
    outside = run.root.parent / "outside"
    before = outside.read_text() if outside.is_file() else None
    answer = run.root.parent / "answer"
    process = kills.fork(_resume, run, answer)
    process.join(30)
    assert process.exitcode == 0
    said = answer.read_text()
    assert said.isprintable()
    assert bool(said) == (attack not in CONTINUED), said
    assert (outside.read_text() if outside.is_file() else None) == before
    assert not outside.is_dir() or not list(outside.iterdir())


@pytest.mark.parametrize("name", [checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.TRAINER])
def test_pickles_are_not_loaded(name: str, run: RunPaths, tmp_path: Path) -> None:
    _sign(run, **{name: pickle.dumps(Canary(tmp_path / "hurt"))})
    with pytest.raises(TuirnnError):
        launch.resume(run, {"steps": 21}, lambda event: None)
    assert not (tmp_path / "hurt").exists()


def test_a_control_folder_that_is_a_link_is_left_alone(run: RunPaths, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.json").write_text('{"kind": "stop"}')
    shutil.rmtree(run.control)
    run.control.symlink_to(tmp_path / "mine")
    assert control.take(run) == []
    assert (tmp_path / "mine" / "a.json").exists()


def test_escapes_never_reach_the_terminal(run: RunPaths, environment: dict[str, str]) -> None:
    """Every text of the run contains an escape sequence; no command prints it unescaped."""
    evil = "\x1b]0;owned\x07\x9b2J\u202e"
    value = json.loads(run.record.read_bytes())
    value["data"]["name"] = value["environment"]["machine"] = evil
    run.record.write_bytes(to_json(value))
    status = json.loads(run.status.read_bytes())
    run.status.write_bytes(to_json({**status, "state": evil, "message": evil, "device": evil}))
    with open(run.metrics, "ab") as file:
        file.write(to_json({"step": 1, "split": evil, "loss": evil, evil: 1}) + b"\n")
    for words in (["ls"], ["show", "one"], ["export", "one"], ["ls", "--json"], ["show", "one", "--json"]):
        command = [sys.executable, "-m", "tuirnn", "runs", *words, "--runs", str(run.root.parent)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        shown = done.stdout + done.stderr
        assert not any(c in shown for c in "\x1b\x07\x9b\u202e"), words
