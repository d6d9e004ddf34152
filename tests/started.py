"""Trainings of several processes, watched from outside: how tests start them, read their events, and compare runs."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import train_small
from safetensors.torch import load as load_tensors

from tuirnn.runs import checkpoint, detached
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_status

long = pytest.mark.skipif(not os.environ.get("TUIRNN_LONG"), reason="TUIRNN_LONG=1 runs it")

SETTINGS: dict[str, Any] = {
    "hidden": 12, "layers": 2, "embed": 6, "dropout": 0.3, "batch_size": 5, "seq_len": 12, "steps": 200,
    "eval_every": 90, "checkpoint_every": 50, "sample_length": 5, "device": "cpu",
}  # fmt: skip

WITHIN = 1e-6


class Started:
    """`tuirnn train` in processes of its own, followed by its events.

    Args:
        words: arguments of the command.
        folder: of runs; the run is called 'one'.
        environment: of the processes.
        launcher: what starts them, if it is not the command.
        inside: a command in front of it all, which replaces itself by what follows: `ip netns exec NAME`.
    """

    def __init__(
        self,
        words: list[str],
        folder: Path,
        environment: dict[str, str],
        launcher: tuple[str, ...] = (),
        inside: tuple[str, ...] = (),
    ) -> None:
        self.paths, self.events = RunPaths(folder / "one"), list[dict[str, Any]]()
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the process)
        self.process = subprocess.Popen(
            [*inside, sys.executable, *launcher, "-m", "tuirnn", "train", "--runs", str(folder), "--json", *words],
            env=environment, stdout=subprocess.PIPE, stderr=self._said, text=True,
        )  # fmt: skip
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def until(self, happened: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for an event."""
        end, seen = time.monotonic() + 60, 0
        while True:
            now = len(self.events)
            if any(map(happened, self.events[seen:now])):
                return
            assert self.process.poll() is None or self._reading.is_alive(), self.ended()[1]
            assert time.monotonic() < end, self.events[-3:]
            seen = now
            time.sleep(0.005)

    def until_step(self, step: int) -> None:
        """Wait until so many steps have been taken."""
        self.until(lambda event: event["event"] == "step" and event["step"] >= step)

    def workers(self) -> list[int]:
        """Process ids, in the order of their ranks."""
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return sorted(map(int, listed.stdout.split()), key=rank_of)

    def ended(self, timeout: float = 30) -> tuple[int, str, float]:
        """Exit code, what stands on stderr, and the seconds it took."""
        began = time.monotonic()
        code = self.process.wait(timeout)
        seconds = time.monotonic() - began
        self._reading.join(10)
        self._said.seek(0)
        return code, self._said.read(), seconds


def rank_of(pid: int) -> int:
    """Of a process that torchrun has started."""
    variables = (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
    return int(dict(pair.split(b"=", 1) for pair in variables if b"=" in pair)[b"RANK"])


def begin(
    folder: Path,
    source: Path,
    environment: dict[str, str],
    launcher: tuple[str, ...] = (),
    inside: tuple[str, ...] = (),
    **changes: Any,
) -> Started:
    """A new run, which goes on for as long as it is let unless `changes` say otherwise."""
    settings = {**SETTINGS, "steps": 100_000, "eval_every": 100_000, **changes, "sources": (str(source),)}
    return Started(["--name", "one", *detached.words(settings)], folder, environment, launcher, inside)


def gone(pid: int, within: float = 10) -> bool:
    """Whether a process has ended, or does so within these seconds; its parent may be too busy to notice."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def wait_for_state(paths: RunPaths, state: str) -> None:
    """Wait until the run stands so."""
    until = time.monotonic() + 20
    while read_status(paths).state != state:
        assert time.monotonic() < until, read_status(paths)
        time.sleep(0.02)


def train(folder: Path, name: str, source: Path, **changes: Any) -> RunPaths:
    """A run to its end."""
    return train_small(folder, name, source, **{**SETTINGS, **changes})


def losses(paths: RunPaths, split: str = "train") -> list[float]:
    """All of a run."""
    return [record["loss"] for record in LogTail(paths.metrics).read() if record["split"] == split]


def tensors(paths: RunPaths, file: str = checkpoint.MODEL) -> dict[str, torch.Tensor]:
    """Of a run's last checkpoint."""
    return load_tensors(checkpoint.load(paths, "last").files[file])


def same(one: RunPaths, other: RunPaths) -> None:
    """Hold every loss, the weights, the optimizer's and the carried state of one run against another's."""
    assert [r["step"] for r in LogTail(other.metrics).read()] == [r["step"] for r in LogTail(one.metrics).read()]
    for split in ("train", "val"):
        assert losses(other, split) == pytest.approx(losses(one, split), rel=WITHIN)
    for name, value in tensors(one).items():
        difference = (tensors(other)[name] - value).double().norm() / value.double().norm()
        assert float(difference) <= WITHIN, name
    kept, others = (tensors(run, checkpoint.OPTIMIZER) for run in (one, other))
    assert kept.keys() == others.keys()
    assert torch.equal(kept["rng.cpu"], others["rng.cpu"])
    for name in kept:
        if name.startswith("carried"):
            assert torch.allclose(others[name], kept[name], atol=1e-5), name
