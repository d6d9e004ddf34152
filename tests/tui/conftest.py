"""Run directories written by the trainer's own writer, and a dashboard that has read them."""

import math
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot

from tuirnn.config import RunConfig
from tuirnn.runs import control, detached
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, RunRecord, Status, read_status
from tuirnn.runs.writer import RunWriter
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.screens import estimating
from tuirnn.vocab import Vocabulary

SIZES = [(80, 24), (120, 40), (200, 60)]

Opener = Callable[..., AbstractAsyncContextManager[Pilot[None]]]


def write_run(
    folder: Path,
    name: str,
    *,
    steps: int = 300,
    age: float = 0.0,
    config: RunConfig | None = None,
    sha256: str = "0" * 64,
    **status: Any,
) -> RunPaths:
    """A run directory as a trainer leaves it: curves, two evaluations with samples, a status."""
    record = RunRecord(
        config=config or RunConfig().replace(hidden=48),
        vocab=Vocabulary.build("abc \n'", "char"),
        data={"name": "letters.txt", "sha256": sha256, "train": 5000, "val": 500, "test": 0},
        environment={},
        created=time.time() - age,
        parameters=12_345,
    )
    settings: dict[str, Any] = {
        "state": "done",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "device": "cpu",
        "step": steps,
        "total": steps,
        "progress": 1.0,
        "best_val_loss": 1.5,
        "best_step": steps // 2,
        "val_loss": 1.625,
        "train_loss": 1.331,
        "tokens_per_s": 16_100.0,
        "lr": 2.4e-3,
        "grad_norm": 0.41,
        "rss": 610_000_000,
        "cpu": 198.0,
        "heartbeat": time.time(),
    }
    with RunWriter.create(folder, name, record) as writer:
        began = time.time() - age - steps
        curve = [
            {
                "step": k, "split": "train", "at": began + k, "loss": 1.3 + 3 * math.exp(-k / 60), "grad_norm": 0.4,
                "lr": 1e-3,
            }
            for k in range(1, steps + 1)
        ]  # fmt: skip
        writer.append("metrics", *curve)
        for k in (steps // 2, steps):
            add_evaluation(writer, k, f"the sample of step {k}")
        writer.status(Status(**{**settings, **status}))
    return RunPaths(folder / name)


def add_evaluation(writer: RunWriter, step: int, text: str) -> None:
    """What a trainer writes at an evaluation."""
    writer.append("metrics", {"step": step, "split": "val", "loss": 1.5 + 30 / step})
    writer.append(
        "samples",
        {"step": step, "kind": "sample", "text": text},
        {
            "step": step,
            "kind": "mistakes",
            "symbols": list("cab\nbat"),
            "nats": [0.1, 5.5, 0.2, 0.3, 1.0, 2.0, 3.0],
            "guesses": list("cob\nbbt"),
        },
    )


@pytest.fixture(autouse=True)
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that stands still tries some steps of the run, which takes seconds of all processors: not here."""
    monkeypatch.setattr(estimating, "STILL", 1e6)


@pytest.fixture
def night_shift(tmp_path: Path) -> Iterator[RunWriter]:
    """The writer of a live run: this process takes the place of the trainer."""
    with RunWriter(write_run(tmp_path, "night-shift", state="running", progress=0.41, total=700, eta=192.0)) as writer:
        yield writer


@pytest.fixture
def folder(tmp_path: Path, night_shift: RunWriter) -> Path:
    """A folder with a live run and a finished one."""
    write_run(tmp_path, "finished", age=7200)
    return tmp_path


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory, small_text: Path) -> Iterator[RunPaths]:
    """A detached training that is live during the module's tests; at the end its log must contain each step once."""
    config = RunConfig().replace(
        hidden=16, embed=8, minutes=60.0, eval_every=200, batch_size=4, seq_len=16, sources=(str(small_text),)
    )
    run = detached.start(config, tmp_path_factory.mktemp("live"), "night")
    yield run
    control.send(run, control.Request("stop"))
    end = time.monotonic() + 60
    while read_status(run).live and time.monotonic() < end:
        time.sleep(0.1)
    steps = [r["step"] for r in LogTail(run.metrics).read() if r["split"] == "train"]
    assert steps == list(range(1, len(steps) + 1))


def trains_on(run: RunPaths) -> bool:
    """Whether a live run continues from its present step."""
    before, end = read_status(run), time.monotonic() + 20
    while (now := read_status(run)).step <= before.step and time.monotonic() < end:
        time.sleep(0.1)
    return now.state == "running" and now.step > before.step


async def until(pilot: Pilot[None], ready: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "the condition never held"
        await pilot.pause(0.02)


@pytest.fixture
def opened() -> Opener:
    """`async with opened(folder, size=…, run=…) as pilot`: a dashboard that has read its folder."""

    @asynccontextmanager
    async def open_app(
        folder: Path, size: tuple[int, int] = (120, 40), run: str | None = None
    ) -> AsyncIterator[Pilot[None]]:
        app = DashboardApp(folder, run)
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: app.folder.was_read)
            await pilot.pause()
            yield pilot

    return open_app


def screen_text(app: App[None]) -> str:
    """The text on the screen, row by row."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
