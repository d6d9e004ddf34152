"""The Generate tab with a tiny trained cell: carried state, cursor, branches."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import train_small
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tuirnn.runs.layout import RunPaths
from tuirnn.tui.engine import Engine
from tuirnn.tui.screens.dialogs import Choose
from tuirnn.tui.screens.generate import GenerateTab
from tuirnn.tui.views import Settings
from tuirnn.tui.widgets.styled_text import StyledText

from .conftest import SIZES, Opener, screen_text, until

CLASSES = ("early", "late")


def tab(pilot: Pilot[None]) -> GenerateTab:
    return pilot.app.query_one(GenerateTab)


def written(pilot: Pilot[None]) -> str:
    """The text up to the cursor."""
    panel = pilot.app.query_one("#generate-text", StyledText)
    return panel.text[: len(panel.text) - panel.tail]


def shown(pilot: Pilot[None]) -> str:
    """The whole text."""
    return pilot.app.query_one("#generate-text", StyledText).text


async def ready(pilot: Pilot[None]) -> None:
    await pilot.press("4")
    await until(pilot, lambda: tab(pilot).can("step"))


@pytest.mark.parametrize("size", SIZES)
async def test_generate_at_every_size(small_run: RunPaths, opened: Opener, size: tuple[int, int]) -> None:
    async with opened(small_run.root.parent, size, run=small_run.name) as pilot:
        await ready(pilot)
        await pilot.press("space")
        await until(pilot, lambda: len(written(pilot)) > 100)
        await pilot.press("space")
        await until(pilot, lambda: "paused" in screen_text(pilot.app))
        screen = screen_text(pilot.app)
        for part in (
            "LSTM 24",
            "CPU",
            "next character",
            "t settings",
            "temperature",
            "top-k",
            "top-p",
            "seed",
            "surprise",
            "space run/pause",
        ):
            assert part in screen
        assert any(block in screen for block in "▏▎▍▌▋▊▉█")


async def test_the_end_stays_in_view_unless_one_scrolls_up(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, (80, 24), run=small_run.name) as pilot:
        await ready(pilot)
        panel = pilot.app.query_one("#generate-text", StyledText)
        await pilot.press("space")
        await until(pilot, lambda: panel.max_scroll_y > 15)
        await pilot.press("space")
        await until(pilot, lambda: not tab(pilot).view.running and panel.scroll_offset.y == panel.max_scroll_y)
        assert "▌" in screen_text(pilot.app)
        await pilot.press("up", "full_stop")
        await pilot.pause(0.2)
        assert panel.scroll_offset.y < panel.max_scroll_y
        await pilot.press("down", "down", "i", "q")
        await until(pilot, lambda: panel.text.endswith("q") and panel.scroll_offset.y == panel.max_scroll_y)


async def test_the_same_seed_writes_the_same_text(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, run=small_run.name) as pilot:
        await ready(pilot)
        await pilot.press(*["full_stop"] * 6)
        await until(pilot, lambda: len(written(pilot)) == 6)
        first = written(pilot)
        await pilot.press("Z")
        await until(pilot, lambda: written(pilot) == "")
        await pilot.press(*["right"] * 6)
        await until(pilot, lambda: len(written(pilot)) == 6)
        assert written(pilot) == first
        await pilot.press(*["backspace"] * 2)
        await until(pilot, lambda: written(pilot) == first[:4])
        await pilot.press(*["full_stop"] * 2)
        await until(pilot, lambda: written(pilot) == first)  # the random numbers were rewound, too


async def test_moving_the_cursor_loses_nothing(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, (80, 24), run=small_run.name) as pilot:
        await ready(pilot)
        await pilot.press(*["full_stop"] * 12)
        await until(pilot, lambda: len(written(pilot)) == 12)
        text, bars = shown(pilot), tab(pilot).view.top
        for keys, at in ((["left"] * 6, 6), (["right"] * 2, 8), (["home"], 0), (["right"], 1), (["end"], 12)):
            await pilot.press(*keys)
            await until(pilot, lambda at=at: written(pilot) == text[:at])  # type: ignore[misc]
            assert shown(pilot) == text
            assert ("end to the end" in screen_text(pilot.app)) == (at < 12)
        assert tab(pilot).view.top == bars  # the state is exactly the same
        assert tab(pilot).engine is not None
        assert len(tab(pilot).view.branches) == 1
        await pilot.press("left", "left", "left")
        assert tab(pilot).engine.text() == text  # the whole text would be saved
        await pilot.press("space")  # the same random numbers: along the present text, then beyond it
        await until(pilot, lambda: len(written(pilot)) > 20)
        await pilot.press("space")
        assert shown(pilot).startswith(text)
        assert len(tab(pilot).view.branches) == 1


async def test_writing_in_the_middle_starts_a_branch_and_the_old_text_is_kept(
    small_run: RunPaths, opened: Opener
) -> None:
    async with opened(small_run.root.parent, run=small_run.name) as pilot:
        await ready(pilot)
        await pilot.press(*["full_stop"] * 12)
        await until(pilot, lambda: len(written(pilot)) == 12)
        text = shown(pilot)
        await pilot.press(*["left"] * 6, "i", "t", "h")
        await until(pilot, lambda: shown(pilot) == text[:6] + "th")
        assert len(tab(pilot).view.branches) == 1  # the draft is not accepted yet
        await pilot.press("backspace", "backspace")
        await until(pilot, lambda: shown(pilot) == text)
        await until(pilot, lambda: written(pilot) == text[:6])
        await pilot.press("t", "o", "escape")
        await until(pilot, lambda: "what came next is kept in 'main'" in screen_text(pilot.app))
        await pilot.press("full_stop")
        await until(pilot, lambda: len(shown(pilot)) == 9)
        assert shown(pilot).startswith(text[:6] + "to")
        await until(pilot, lambda: "branch 1 from 6" in screen_text(pilot.app))
        await pilot.press("B", "home", "enter")
        await until(pilot, lambda: shown(pilot) == text)
        await pilot.press("B", "end", "enter")
        await until(pilot, lambda: shown(pilot).startswith(text[:6] + "to"))


async def test_typing_in_the_middle_is_a_branch_once_the_field_is_left(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, run=small_run.name) as pilot:
        await ready(pilot)
        await pilot.press(*["full_stop"] * 12)
        await until(pilot, lambda: len(written(pilot)) == 12)
        text = shown(pilot)
        await pilot.press(*["left"] * 6, "i", "t", "h")
        await until(pilot, lambda: shown(pilot) == text[:6] + "th")
        await pilot.press("escape")
        await until(pilot, lambda: len(tab(pilot).view.branches) == 2)
        assert pilot.app.query_one("#prompt", Input).value == ""
        assert "what came next is kept in 'main'" in screen_text(pilot.app)
        await pilot.press("B")
        assert isinstance(pilot.app.screen, Choose)
        await pilot.press("home", "enter")
        await until(pilot, lambda: shown(pilot) == text)
        await pilot.press("end", "i", "a", "escape", "i", "backspace", "b")  # at the end it can still be corrected
        await until(pilot, lambda: shown(pilot) == text + "b")
        assert len(tab(pilot).view.branches) == 2


async def test_what_comes_after_the_cursor_is_dim(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, run=small_run.name) as pilot:
        await ready(pilot)
        await pilot.press("i", *"the fox", "escape")
        await until(pilot, lambda: written(pilot) == "the fox")
        await pilot.press("left", "left", "left")
        await until(pilot, lambda: written(pilot) == "the ")
        panel = pilot.app.query_one("#generate-text", StyledText)
        assert list(panel.line(0)) == [("the ", "prime"), ("f", "here"), ("ox", "tail")]
        await pilot.click("#generate-text", offset=(2 + 5, 1))  # on the tail
        await until(pilot, lambda: written(pilot) == "the f")
        await pilot.click("#generate-text", offset=(2 + 1, 1))
        await until(pilot, lambda: written(pilot) == "t")
        assert shown(pilot) == "the fox"


async def test_the_cursor_stays_in_view(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, (80, 24), run=small_run.name) as pilot:
        await ready(pilot)
        panel = pilot.app.query_one("#generate-text", StyledText)
        await pilot.press("greater_than_sign", "space")
        await until(pilot, lambda: panel.max_scroll_y > 20)
        await pilot.press("space")
        await until(pilot, lambda: not tab(pilot).view.running and panel.scroll_offset.y == panel.max_scroll_y)
        await pilot.press("home")
        await until(pilot, lambda: written(pilot) == "" and panel.scroll_offset.y == 0)
        await pilot.press("shift+right", "shift+right")
        await until(pilot, lambda: written(pilot) != "")
        await pilot.press("end")
        await until(pilot, lambda: panel.tail == 0 and panel.scroll_offset.y == panel.max_scroll_y)


async def test_typing_carries_the_state_on(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, run=small_run.name) as pilot:
        await ready(pilot)
        await pilot.press("i", *"the fox 3")  # 3 is a letter here, not a tab
        await until(pilot, lambda: written(pilot) == "the fox 3")
        assert "esc leave" in screen_text(pilot.app)
        assert "run/pause" not in screen_text(pilot.app)
        assert "not in the vocabulary, read as unknown: 3" in screen_text(pilot.app)
        await pilot.press("backspace", "backspace")
        await until(pilot, lambda: written(pilot) == "the fox")
        await pilot.press("escape", "full_stop", "full_stop")
        await until(pilot, lambda: len(written(pilot)) == 9)
        assert pilot.app.query_one("#prompt", Input).value == ""
        after = written(pilot)
        await pilot.press("i", *"dog")
        await until(pilot, lambda: written(pilot) == after + "dog")
        prompt = pilot.app.query_one("#prompt", Input)
        prompt.value = "cat"  # edited in the middle: read again from where it differs
        await until(pilot, lambda: written(pilot) == after + "cat")
        await pilot.press("ctrl+j")
        await until(pilot, lambda: written(pilot) == after + "cat\n")


async def test_any_unicode_can_be_typed(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, (80, 24), run=small_run.name) as pilot:
        await ready(pilot)
        prompt = pilot.app.query_one("#prompt", Input)
        for typed in ("\ud800", "👩‍👩‍👧 é̂́ \u202e", "日本語 \x00\x1b[31m", "[bold]x[/]", "", "🇩🇪" * 60):
            prompt.value = typed
            await pilot.pause(0.12)
            assert screen_text(pilot.app).encode()
        await pilot.press("escape", "full_stop")
        await until(pilot, lambda: tab(pilot).view.tokens == 1)


async def test_settings_count_as_soon_as_they_are_numbers(small_run: RunPaths, opened: Opener) -> None:
    async with opened(small_run.root.parent, run=small_run.name) as pilot:
        await ready(pilot)
        await pilot.press("t")
        temperature = pilot.app.query_one("#temperature", Input)
        assert pilot.app.focused is temperature
        temperature.value = "0"
        await until(pilot, lambda: len(tab(pilot).view.top) == 1)  # greedy is certain
        temperature.value = "warm"
        await pilot.pause()
        assert temperature.has_class("-invalid")
        temperature.value = "-1"
        await until(pilot, lambda: "temperature must be" in str(pilot.app.query_one("#generate-line", Static).render()))
        temperature.value = "1.0"
        pilot.app.query_one("#top_k", Input).value = "3"
        await until(pilot, lambda: len(tab(pilot).view.top) == 3)
        assert str(pilot.app.query_one("#generate-line", Static).render()) == ""


async def test_a_run_without_a_checkpoint_is_refused_in_words(folder: Path, opened: Opener) -> None:
    async with opened(folder, run="finished") as pilot:
        await pilot.press("4")
        await until(pilot, lambda: "checkpoint" in str(pilot.app.query_one("#generate-line", Static).render()))
        assert not tab(pilot).can("step")


async def test_choosing_among_runs_and_files(
    small_run: RunPaths,
    alone: Callable[..., Path],
    opened: Opener,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tuirnn.export.exporter import export_run, write_cell

    write_cell(export_run(small_run), tmp_path / "export" / "cells" / "tiny.onnx")
    monkeypatch.chdir(tmp_path)
    async with opened(alone(small_run), run=small_run.name) as pilot:
        await pilot.press("4", "o")
        assert isinstance(pilot.app.screen, Choose)
        assert "tiny   (cell file)" in screen_text(pilot.app)
        assert small_run.name in screen_text(pilot.app)
        await pilot.press("down", "enter")
        await until(pilot, lambda: tab(pilot).can("step"))
        assert tab(pilot).engine is not None
        assert "tiny.onnx" in screen_text(pilot.app)


@pytest.mark.parametrize("tokens", ["byte", "word"])
def test_typing_with_other_tokens(trained: Callable[..., RunPaths], tokens: str) -> None:
    run = trained(tokens=tokens)
    engine = Engine(run.name, run.root.parent, Settings(), 0)
    engine.start()
    typed = "the quick日"
    for k in range(1, len(typed) + 1):
        engine.send("typed", typed[:k])
    engine.send("step")
    engine.send("back", 1)
    engine.send("back_all")
    engine.send("forward_all")
    engine.send("reset")
    engine.send("end")
    engine.join(20)
    assert not engine.is_alive()
    assert engine.view.problem == ""
    text, texts = "", []
    for change in engine.drain():
        text = text[: len(text) - change.take_back] + change.text
        texts.append((text, change.tail))
    beginning = next(k for k, (text, tail) in enumerate(texts) if tail == len(text) > 0)
    assert (texts[beginning][0], 0) in texts[beginning:]  # to the beginning, then to the end again
    assert text == ""
    assert [branch.name for branch in engine.view.branches] == ["main", "main 2"]


def test_writing_without_a_pace_needs_no_screen(small_run: RunPaths) -> None:
    engine = Engine(small_run.name, small_run.root.parent, Settings(), 0)
    engine.start()
    engine.send("toggle")
    end = time.monotonic() + 60
    while engine.view.tokens < 1000:
        assert time.monotonic() < end, engine.view
        time.sleep(0.01)
    engine.send("end")
    engine.join(5)
    assert len(engine.text()) >= 1000
    assert engine.view.per_second > 0


async def test_a_classifier_updates_its_classes_as_the_user_types(tmp_path: Path, opened: Opener) -> None:
    for name, letters in zip(CLASSES, ("ab", "bc"), strict=True):
        lines = ["".join(one) for n in (2, 3, 4) for one in itertools.product(letters, repeat=n)]
        (tmp_path / "words").mkdir(exist_ok=True)
        (tmp_path / "words" / f"{name}.txt").write_text("\n".join(lines))
    runs = tmp_path / "runs"
    train_small(runs, "kinds", tmp_path / "words", task="classify", hidden=8, steps=20, eval_every=10)
    async with opened(runs, run="kinds") as pilot:
        await pilot.press("4")
        await until(pilot, lambda: tab(pilot).view.ready)
        assert not tab(pilot).can("toggle")
        assert "press i and type" in screen_text(pilot.app)
        await pilot.press("i", "a")
        await until(pilot, lambda: len(tab(pilot).view.top) == 2)
        before = tab(pilot).view.top
        assert [name for name, _ in before] == list(CLASSES)
        assert sum(p for _, p in before) == pytest.approx(1.0)
        await pilot.press("b")
        await until(pilot, lambda: tab(pilot).view.top != before)
        await pilot.press("backspace")
        await until(pilot, lambda: tab(pilot).view.top == before)  # exactly
        assert "class ─" in screen_text(pilot.app)
        await pilot.press("escape", "2")
        await until(pilot, lambda: "loss (nats/sequence)" in screen_text(pilot.app))
        assert "accuracy" in screen_text(pilot.app)
