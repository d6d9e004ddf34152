"""Every text on the screen can be read: its contrast, computed from the picture that the dashboard exports."""

import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest
from textual.color import Color
from textual.geometry import Region
from textual.pilot import Pilot

from tuirnn.runs.layout import RunPaths
from tuirnn.tui import theme
from tuirnn.tui.tabs import tab_classes

from .conftest import Opener, screen_text, until

COLOURED = tuple(name for name in theme.THEMES if not name.startswith("ansi"))
"""Themes with colours of their own; the others have the terminal's, whatever these are."""

RULE = re.compile(r"\.(\S+-r\d+) \{ fill: (#[0-9a-f]{6})")
GROUND = re.compile(r'<rect fill="(#[0-9a-f]{6})" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"')
TEXT = re.compile(r'<text class="(\S+-r\d+)" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>')
LETTER = re.compile(r"[^\W_]")


CELL = (12.2, 24.4)
"""Width and height of a cell in the picture, in its units."""


def texts(picture: str, within: Region) -> Iterator[tuple[str, Color, Color]]:
    """(text, its colour, its background) of each piece of text with a letter or a digit, in this part of the screen."""
    rules = dict(RULE.findall(picture))
    grounds = [(Color.parse(fill), *map(float, place)) for fill, *place in GROUND.findall(picture)]
    for name, x, y, text in TEXT.findall(picture):
        plain = unescape(text)
        if not LETTER.search(plain):
            continue
        left, base = float(x) + 1, float(y) - 5  # a text stands on its base line
        if not within.contains(int(left / CELL[0]), int(base / CELL[1])):
            continue
        under = [g for g, gx, gy, width, height in grounds if gx <= left < gx + width and gy <= base < gy + height]
        if under:
            yield plain, Color.parse(rules[name]), under[-1]


def faint(pilot: Pilot[None]) -> list[tuple[str, str, str, float]]:
    """Texts of the screen, or of the dialog over it, whose contrast is too low."""
    dialogs = list(pilot.app.screen.query(".dialog"))
    found = list(texts(pilot.app.export_screenshot(), dialogs[0].region if dialogs else pilot.app.screen.region))
    assert len(found) > 5
    return [
        (text, colour.hex, ground.hex, round(theme.contrast(colour, ground), 2))
        for text, colour, ground in found
        if theme.contrast(colour, ground) < theme.READABLE
    ]


@pytest.mark.parametrize("name", COLOURED)
async def test_texts_of_every_tab_can_be_read(
    name: str, trained: Callable[..., RunPaths], alone: Callable[..., Path], opened: Opener
) -> None:
    run = trained()
    async with opened(alone(run, trained(cell="gru")), run=run.name) as pilot:
        pilot.app.theme = name
        for number, tab in enumerate(tab_classes(), 1):
            await pilot.press(str(number))
            if tab.NAME == "generate":
                await until(pilot, lambda: "next character" in screen_text(pilot.app))
                await pilot.press(*["right"] * 5, "left", "left")
            await pilot.pause()
            assert faint(pilot) == [], tab.NAME


@pytest.mark.parametrize("name", COLOURED)
async def test_texts_of_dialogs_can_be_read(name: str, folder: Path, opened: Opener) -> None:
    async with opened(folder) as pilot:
        pilot.app.theme = name
        for key in ("question_mark", "n", "d"):
            await pilot.press(key)
            await pilot.pause()
            assert faint(pilot) == [], key
            await pilot.press("escape")


def test_the_least_contrast_is_that_of_the_standard() -> None:
    assert theme.contrast(Color(0, 0, 0), Color(255, 255, 255)) == pytest.approx(21)
    assert theme.contrast(Color(119, 119, 119), Color(255, 255, 255)) == pytest.approx(4.48, abs=0.005)
    assert theme.contrast(theme.readable(Color(119, 119, 119), Color(255, 255, 255)), Color(255, 255, 255)) >= 4.5
