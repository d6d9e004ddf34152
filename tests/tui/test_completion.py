"""The field for a run's source completes paths and names of data sets; the run is named after it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Input

from tuirnn.tui.completion import completed
from tuirnn.tui.screens.run_fields import name_after

from .conftest import Opener, until


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "texts").mkdir()
    for name in ("handbook.txt", "texts/letters.txt", ".hidden", "two words.txt"):
        (tmp_path / name).write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_last_word_is_completed(here: Path) -> None:
    assert completed("hand") == "handbook.txt"
    assert completed("handbook.txt te") == "handbook.txt texts/"
    assert completed("texts/") == "texts/letters.txt"
    assert completed(f"{here}/te") == f"{here}/texts/"
    assert completed("shakesp") == "shakespeare"
    assert completed(".hid") == ".hidden"
    for nothing in ("", "none", "two", "'hand", "no/such/fol", "~nobody-at-all/x"):
        assert completed(nothing) is None, nothing


@given(st.text(max_size=20))
def test_nothing_that_is_typed_is_lost(typed: str) -> None:
    assert (completed(typed) or typed).startswith(typed)


@given(st.lists(st.text(min_size=1, max_size=30), max_size=2).map(tuple))
def test_a_name_after_a_source_may_be_a_run(sources: tuple[str, ...]) -> None:
    from tuirnn.runs.layout import check_name

    if name := name_after(sources):
        assert check_name(name) == name


async def test_the_key_takes_the_completion_and_names_the_run(here: Path, opened: Opener) -> None:
    async with opened(here / "runs") as pilot:
        await pilot.press("n")
        await pilot.pause()
        source, name = (pilot.app.screen.query_one(f"#field-{one}", Input) for one in ("sources", "name"))
        source.focus()
        await pilot.press(*"hand")
        await until(pilot, lambda: source._suggestion == "handbook.txt")
        await pilot.press("right")
        assert source.value == "handbook.txt"
        await until(pilot, lambda: name.placeholder == "handbook")
    assert not os.path.exists(here / "runs")
