"""A tagger on the screens: live in the Generate tab, its figures in the Train tab."""

from pathlib import Path

import pytest
from conftest import train_small
from tagged import write_places

from .conftest import Opener, screen_text, until
from .test_generate import tab


async def test_a_tagger_says_what_it_thinks_as_one_types(tmp_path: Path, opened: Opener) -> None:
    file, runs = write_places(tmp_path / "places.conll"), tmp_path / "runs"
    train_small(runs, "places", file, task="tag", hidden=24, steps=120, batch_size=16, lr=0.02, dropout=0.0)
    async with opened(runs, run="places") as pilot:
        await pilot.press("4")
        await until(pilot, lambda: tab(pilot).view.ready)
        await pilot.press("i", *"Anna")
        await until(pilot, lambda: dict(tab(pilot).view.top).get("B-PER", 0.0) > 0.5)
        before = tab(pilot).view.top
        assert [name for name, _ in before] == ["B-LOC", "B-PER", "I-PER", "O"]
        assert sum(p for _, p in before) == pytest.approx(1.0)
        await pilot.press("space", "X")
        await until(pilot, lambda: dict(tab(pilot).view.top).get("I-PER", 0.0) > 0.5)
        await pilot.press("backspace", "backspace")
        await until(pilot, lambda: tab(pilot).view.top == before)  # back to the bit
        await pilot.press("escape", "2")
        await until(pilot, lambda: "loss (nats/char)" in screen_text(pilot.app))
        assert "span F1" in screen_text(pilot.app)
