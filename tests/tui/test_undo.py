"""Undo and redo in a text that a network writes, and states in files: nothing is ever lost."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tuirnn.runs.layout import RunPaths
from tuirnn.tui.engine import Engine
from tuirnn.tui.places import place_of
from tuirnn.tui.views import Settings
from tuirnn.tui.widgets.styled_text import StyledText

from .conftest import Opener, screen_text, until
from .test_generate import ready, shown, tab, written


@pytest.fixture
def engine(small_run: RunPaths) -> Engine:
    """An engine without its thread: commands are handled when they are sent."""
    engine = Engine(small_run.name, small_run.root.parent, Settings(), 0)
    engine._open()
    send = engine.send

    def handle(command: str, value: object = None) -> None:
        send(command, value)
        engine._handle_next()
        while engine._running and len(engine._timeline) < 200:
            engine._step()

    engine.send = handle  # type: ignore[method-assign]
    return engine


def test_undo_returns_through_every_change_and_redo_to_the_end(engine: Engine) -> None:
    chance, known = random.Random(5), dict[str, list[int]]()
    commands: list[Callable[[], None]] = [
        lambda: engine.send("step"),
        lambda: engine.send("back", chance.randint(1, 9)),
        lambda: engine.send("forward", chance.randint(1, 9)),
        lambda: engine.send("home"),
        lambda: engine.send("typed", chance.choice(["the", "fox ", "q"])),
        lambda: engine.send("branch", "other"),
        lambda: engine.send("switch", chance.choice(list(engine._timeline.branches))),
        lambda: engine.send("reset"),
        lambda: engine.send("undo"),
        lambda: engine.send("redo"),
    ]
    for _ in range(150):
        chance.choice(commands)()
        for name, tokens in known.items():
            assert [token.id for token in engine._timeline.branches[name].tokens][: len(tokens)] == tokens
        known = {name: [t.id for t in branch.tokens] for name, branch in engine._timeline.branches.items()}
    engine.send("back", 0)  # what was typed last is kept
    end, text, undone = place_of(engine._timeline), engine.text(), 0
    while engine.view.note != "nothing to undo":
        engine.send("undo")
        undone += 1
        assert undone < 200
    assert place_of(engine._timeline) == ("main", 0)
    for _ in range(undone - 1):
        engine.send("redo")
    assert (place_of(engine._timeline), engine.text()) == (end, text)
    engine.send("redo")
    assert engine.view.note == "nothing to redo"


def test_steps_in_a_row_are_one_change_until_the_cursor_moves(engine: Engine) -> None:
    for command in ("step", "step", "step", "back", "forward", "step", "step"):
        engine.send(command)
    engine.send("undo")
    assert place_of(engine._timeline) == ("main", 3)
    engine.send("undo")
    assert place_of(engine._timeline) == ("main", 0)
    assert len(engine.text()) == 5


def test_a_state_in_a_file_goes_on_as_the_text_would_have(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "middle.safetensors"
    engine.send("set", Settings(temperature=0.0))
    for _ in range(40):
        engine.send("step")
    engine.send("save_state", str(file))
    assert engine.view.note == f"state saved as {file}"
    for _ in range(20):
        engine.send("step")
    following = engine.text()[40:]
    engine.send("open_state", str(file))
    assert engine.text() == ""
    for _ in range(20):
        engine.send("step")
    assert engine.text() == following
    assert [branch.name for branch in engine.view.branches] == ["main", "middle"]
    engine.send("back_all")
    engine.send("step")
    assert engine.text() == following  # the state before its first token is the file's
    engine.send("reset")
    engine.send("step")
    assert [branch.name for branch in engine.view.branches] == ["main", "middle", "main 2"]


def test_a_state_that_does_not_fit_changes_nothing(
    engine: Engine, trained: Callable[..., RunPaths], tmp_path: Path
) -> None:
    other = trained(cell="gru")
    foreign = Engine(other.name, other.root.parent, Settings(), 0)
    foreign._open()
    foreign.send("save_state", str(tmp_path / "gru.safetensors"))
    foreign._handle_next()
    engine.send("step")
    text = engine.text()
    for name, told in (("gru.safetensors", "saved with another cell"), ("none.safetensors", "none.safetensors")):
        engine.send("open_state", str(tmp_path / name))
        assert told in engine.view.note
        assert engine.text() == text
    engine.send("save_state", str(tmp_path / "no" / "folder" / "x.safetensors"))
    assert "cannot write the state" in engine.view.note


async def test_undo_redo_and_states_by_key(
    small_run: RunPaths, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(small_run.root.parent, (200, 60), run=small_run.name) as pilot:
        await ready(pilot)
        assert pilot.app.query_one("#generate-text", StyledText).line_width <= 90
        await pilot.press("O")
        assert "no state (*.safetensors)" in screen_text(pilot.app)
        await pilot.press(*["full_stop"] * 9)
        await until(pilot, lambda: len(written(pilot)) == 9)
        text = written(pilot)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: written(pilot) == "")
        assert shown(pilot) == text
        await pilot.press("ctrl+y")
        await until(pilot, lambda: written(pilot) == text)
        await pilot.press("W", "enter")
        await until(pilot, lambda: len(list(tmp_path.glob("*.safetensors"))) == 1)
        await pilot.press("O", "enter")
        await until(pilot, lambda: shown(pilot) == "" and len(tab(pilot).view.branches) == 2)
        await pilot.press("full_stop")
        await until(pilot, lambda: "T 0.8" in screen_text(pilot.app))
