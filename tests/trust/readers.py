"""A trainer beside other processes: ten readers, a second trainer, a signal to stop; a thousand runs."""

import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tuirnn.config import RunConfig
from tuirnn.errors import RunError
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.listing import list_runs
from tuirnn.runs.reader import LogTail, RunRecord, Status, read_record, read_status
from tuirnn.runs.writer import RunWriter
from tuirnn.vocab import Vocabulary

from . import Broken
from .kills import TEXT, fork

READERS = 10


def _tuirnn(folder: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tuirnn", *words, "--runs", str(folder / "runs"), "--device", "cpu"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TUIRNN_")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment, text=True, **quiet)  # type: ignore[call-overload,no-any-return]


def _wait_for(
    condition: Callable[[], object], failure: str = "the training did not begin", seconds: float = 120.0
) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Broken(failure)
        time.sleep(0.02)


def read_for_ever(run: Path, readings: Path) -> None:
    """Read all files of a run repeatedly, as viewers do; anything torn ends this process with a message."""
    paths, count = RunPaths(run), 0
    tails = {log: LogTail(getattr(paths, log)) for log in ("metrics", "samples", "probes", "events")}
    last = 0
    try:
        while True:
            read_record(paths)
            if read_status(paths).message == "no readable status":
                raise Broken("a torn status")
            for log, tail in tails.items():
                for record in tail.read():
                    if log == "metrics" and record["split"] == "train":
                        if record["step"] != last + 1:
                            raise Broken(f"step {record['step']} after step {last}")
                        last = record["step"]
                if tail.damaged:
                    raise Broken(f"a torn record in {log}")
            if checkpoint.pointed(paths, "last") is not None:
                checkpoint.load(paths, "last")
            count += 1
            _say(readings, f"{count} readings, step {last}")
            time.sleep(0.05)
    except (Broken, RunError) as problem:
        if "last" in str(problem) or not isinstance(problem, RunError):
            _say(readings, f"BROKEN after {count} readings: {problem}")
            os._exit(3)
        raise


def _say(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def with_readers(folder: Path, seconds: float) -> dict[str, Any]:
    """Train for `seconds` while ten readers read on and second trainers are turned away."""
    (folder / "text.txt").write_text(TEXT)
    small = ["--hidden", "32", "--embed", "8", "--eval-every", "200", "--checkpoint-every", "100",
             "--sample-length", "40"]  # fmt: skip
    trainer = _tuirnn(
        folder, "train", str(folder / "text.txt"), "--name", "one", "--minutes", f"{seconds / 60:.4f}", *small
    )
    paths = RunPaths(folder / "runs" / "one")
    _wait_for(lambda: is_run(paths.root) and checkpoint.steps(paths))
    readers = [fork(read_for_ever, paths.root, folder / f"reader-{i}.txt") for i in range(READERS)]
    refused = 0
    while trainer.poll() is None:
        second = _tuirnn(folder, "train", "--resume", "one")
        assert second.stderr is not None
        message = second.stderr.read()
        if second.wait() != 2 or "another process" not in message:
            if trainer.poll() is None and "is complete" not in message:  # the first may be done, but not yet gone
                raise Broken(f"a second trainer was not refused: exit {second.returncode}, {message}")
            break
        refused += 1
        time.sleep(min(60.0, seconds / 10))
    if trainer.wait():
        raise Broken(
            f"the training ended with exit code {trainer.returncode}: {trainer.stderr and trainer.stderr.read()}"
        )
    readings = 0
    for i, reader in enumerate(readers):
        said = _reads_to_the_end(folder / f"reader-{i}.txt", reader, read_status(paths).step)
        reader.kill()
        readings += int(re.match(r"\d+", said)[0])  # type: ignore[index]
    return {
        "seconds": round(seconds), "steps": read_status(paths).step, "readers": READERS, "readings": readings,
        "torn": 0, "second trainers refused": refused,
    }  # fmt: skip


def _reads_to_the_end(readings: Path, reader: ForkServerProcess, step: int) -> str:
    """Wait until a reader has read the last step; what it says then."""

    def is_there() -> bool:
        if reader.exitcode is not None:
            raise Broken(f"a reader ended with {reader.exitcode}: {readings.read_text()}")
        return readings.read_text().endswith(f", step {step}")

    _wait_for(is_there, "a reader did not read the last step")
    return readings.read_text()


def leaving(folder: Path, trials: int, *, within: float = 4.0, seed: int = 0) -> dict[str, Any]:
    """SIGTERM default trainings, each within so many seconds; each must leave a checkpoint of its last step."""
    draw, times = random.Random(seed), []
    (folder / "text.txt").write_text(TEXT * 100)
    for trial in range(trials):
        name = f"leaving-{trial}"
        paths = RunPaths(folder / "runs" / name)
        often = ("--eval-every", "20", "--checkpoint-every", "30")  # many signals meet an evaluation or a checkpoint
        process = _tuirnn(folder, "train", str(folder / "text.txt"), "--name", name, "--minutes", "60", *often)
        _wait_for(lambda paths=paths: is_run(paths.root) and paths.status.exists())
        time.sleep(draw.uniform(0.0, within))
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
        times.append(time.monotonic() - began)
        status = read_status(paths)
        if code != 75 or status.state != "stopped" or checkpoint.load(paths, "last").step != status.step:
            raise Broken(f"after SIGTERM: exit code {code}, {status.state} at step {status.step}")
    times.sort()
    return {
        "trials": trials, "median s": round(statistics.median(times), 2),
        "95 % s": round(times[min(trials - 1, int(0.95 * trials))], 2), "longest s": round(times[-1], 2),
    }  # fmt: skip


def many_runs(folder: Path, count: int = 1000, *, rounds: int = 5) -> dict[str, Any]:
    """Seconds that a folder of `count` runs takes to list: in the process, and as `tuirnn runs ls`."""
    symbols = tuple(map(chr, range(32, 127)))
    record = RunRecord(
        RunConfig(), Vocabulary("char", symbols), {"name": "text", "sha256": "0", "train": 1}, {}, 1.0, 10
    )
    runs = folder / "many"
    for number in range(count):
        with RunWriter.create(runs, f"run-{number}", record) as writer:
            writer.status(Status(state="done", step=number))
            writer.append("metrics", *({"step": step, "split": "train", "loss": 1.0} for step in range(20)))
    times = []
    for _ in range(rounds):
        began = time.monotonic()
        found = list_runs(runs)
        times.append(time.monotonic() - began)
        if len(found) != count or any(run.problem for run in found):
            raise Broken("not every run was listed")
    command = [sys.executable, "-m", "tuirnn", "runs", "ls", "--runs", str(runs)]
    shells = []
    for _ in range(rounds):
        began = time.monotonic()
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        shells.append(time.monotonic() - began)
        if len(lines) != count:
            raise Broken(f"{len(lines)} lines for {count} runs")
    return {
        "runs": count,
        "list s": round(statistics.median(times), 2),
        "runs ls s": round(statistics.median(shells), 2),
    }
