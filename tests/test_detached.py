"""The process of a training: signals, and trainings that outlive their parent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_status


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else "",
)
def test_signals_checkpoint_and_leave(
    number: int, expected: int, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("a program started under nohup hands down that it ignores this signal")
    command = [sys.executable, "-m", "tuirnn", "train", str(small_text), "--runs", str(tmp_path), "--name", "one",
               "--hidden", "16", "--minutes", "5", "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["step"] == 20:
                process.send_signal(number)
                began = time.monotonic()
            last = event
        code = process.wait()
    assert time.monotonic() - began < 10
    assert code == expected
    assert last["event"] == "end"
    paths = RunPaths(tmp_path / "one")
    assert checkpoint.load(paths, "last").step == last["step"]
    assert read_status(paths).state == "stopped"


def test_a_detached_run_outlives_its_parent(tmp_path: Path, small_text: Path, environment: dict[str, str]) -> None:
    words = ["train", str(small_text), "--runs", str(tmp_path), "--hidden", "16", "--steps", "400", "--name", "one"]
    done = subprocess.run([sys.executable, "-m", "tuirnn", *words, "--detach"], env=environment, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert "in the background" in done.stdout
    paths = RunPaths(tmp_path / "one")
    assert os.getsid(read_status(paths).pid or os.getpid()) != os.getsid(0) or read_status(paths).state == "done"
    until = time.monotonic() + 60
    while read_status(paths).state != "done" and time.monotonic() < until:
        time.sleep(0.1)
    assert read_status(paths).state == "done"
    assert paths.log.exists()


def test_a_detached_run_that_cannot_start_says_why(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tuirnn", "train", "no-such-file", "--runs", str(tmp_path), "--detach"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("tuirnn: no file, folder or data set 'no-such-file'")
    assert list(tmp_path.iterdir()) == []
