"""Whole screens as plain text, compared with files that a person has checked.

    TUIRNN_SCREENS=renew python -m pytest tests/tui/test_screens.py

writes them again; `git diff tests/tui/screens` then shows what has changed.
"""

import math
import os
import re
import time
from pathlib import Path

import pytest

from tuirnn.config import RunConfig
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, Status
from tuirnn.runs.writer import RunWriter
from tuirnn.tui.widgets.chart import Chart
from tuirnn.vocab import Vocabulary

from .conftest import Opener, add_evaluation, screen_text, until

SCREENS = Path(__file__).parent / "screens"
KEYS = {"runs": "1", "train": "2", "help": "question_mark", "compare": "5"}


def write(folder: Path, name: str, cell: str, steps: int, days: int) -> RunPaths:
    """A run that ended days ago, the same whenever it is written."""
    began = float(int(time.time() - 86_400 * days - 3600))  # whole seconds, so that the log always has the same length
    record = RunRecord(
        RunConfig().replace(cell=cell, hidden=64),
        Vocabulary.build("abc \n'", "char"),
        {"name": "letters.txt", "sha256": "0" * 64, "train": 5000, "val": 500, "test": 0},
        {},
        began,
        12_345 + steps,
    )
    with RunWriter.create(folder, name, record) as writer:
        for k in range(1, steps + 1):
            loss = 1.3 + 3 * math.exp(-k / 60) + (0.4 if k == 130 else 0.0)  # a spike that must be seen
            line = {"step": k, "split": "train", "at": began + k, "loss": loss, "grad_norm": 0.4 + 0.3 * math.sin(k)}
            writer.append("metrics", {**line, "lr": 1e-3 * (1 - k / steps)})
        for k in (steps // 2, steps):
            add_evaluation(writer, k, f"the sample of step {k}")
        writer.status(
            Status(
                state="done", host="elsewhere", pid=4121, device="cpu", step=steps, total=steps, progress=1.0,
                elapsed=754.0, train_loss=1.331, val_loss=1.625, best_val_loss=1.5, best_step=steps // 2,
                tokens_per_s=16_100.0, lr=2.4e-3, grad_norm=0.41, rss=610_000_000, cpu=198.0, epoch=2.0,
            )
        )  # fmt: skip
    return RunPaths(folder / name)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.parametrize("screen", KEYS)
async def test_the_screen_is_as_it_was_when_last_checked(
    tmp_path: Path, opened: Opener, screen: str, size: tuple[int, int]
) -> None:
    write(tmp_path, "lstm-night", "lstm", 300, 3)
    write(tmp_path, "gru-fast", "gru", 200, 4)
    kept = SCREENS / f"{screen}-{size[0]}x{size[1]}.txt"
    async with opened(tmp_path, size, run="lstm-night") as pilot:
        chart = pilot.app.query_one("#train-chart", Chart)
        await until(pilot, lambda: any(len(one.x) for one in chart.series))
        await pilot.press(KEYS[screen])

        def shown() -> str:
            dated = "".join(f"{row.rstrip()}\n" for row in screen_text(pilot.app).splitlines())
            return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-01-02 03:04", dated)

        if os.environ.get("TUIRNN_SCREENS") == "renew":
            await pilot.pause(1.5)
            SCREENS.mkdir(exist_ok=True)
            kept.write_text(shown(), encoding="utf-8")
        wanted, end = kept.read_text(encoding="utf-8"), time.monotonic() + 10
        while shown() != wanted and time.monotonic() < end:
            await pilot.pause(0.05)
        assert shown() == wanted
