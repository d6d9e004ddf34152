"""No word is cut, at any size, on any tab, for any task; a resized window is drawn as a new one.

`TUIRNN_LONG=1` looks at every size, tab and task together; otherwise at the small ones and at the tabs of a run.
"""

import difflib
import itertools
import os
import re
from pathlib import Path

import pytest
from conftest import train_small
from tagged import write_places
from textual.pilot import Pilot
from textual.screen import ModalScreen

from tuirnn.tui.screens.xray import XrayTab
from tuirnn.tui.tabs import TITLES

from .conftest import SIZES, Opener, screen_text, until

LONG = bool(os.environ.get("TUIRNN_LONG"))
RUNS = ("text", "labels", "series", "tags")
DIALOGS = {"help": "question_mark", "new run": "n", "delete": "d", "rename": "N", "tag": "number_sign", "copy": "Y"}
"""What opens each, on the Runs tab."""

OF_A_RUN = ("train", "xray", "generate")
START = (120, 40)
OTHERS = [size for size in SIZES if size != START] if LONG else [(80, 24)]  # where there is least space
STORM = ((61, 17), (200, 60), *(((80, 24), (140, 20), (60, 50)) if LONG else ()))

CUT = re.compile(r"[^\W\d_]…")
"""A word that ends in dots."""

AT_EDGE = re.compile(r"([^\W\d_]{2,})(?:[│╮╯]|$)")
"""A word that ends where a panel or the window does: it may be the beginning of a longer one."""

WHOLE = re.compile(r"[^\W\d_]{2,}(?![\w…│╮╯]|$)")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of four tasks."""
    folder = tmp_path_factory.mktemp("four")
    (folder / "words").mkdir()
    for name, letters in (("early", "ab"), ("late", "bc")):
        lines = ["".join(one) for n in (2, 3, 4) for one in itertools.product(letters, repeat=n)]
        (folder / "words" / f"{name}.txt").write_text("\n".join(lines))
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    runs = folder / "runs"
    train_small(runs, "text", folder / "text.txt")
    train_small(runs, "labels", folder / "words", task="classify", hidden=8)
    train_small(runs, "series", Path("sincos"), task="forecast", horizon=10)
    train_small(runs, "tags", write_places(folder / "places.conll"), task="tag")
    return runs


async def settled(pilot: Pilot[None]) -> str:
    """The picture, once three in a row are the same and no thread is at work."""
    shown, same = screen_text(pilot.app), 0
    while same < 3:
        await pilot.pause(0.04)
        now = screen_text(pilot.app)
        same = same + 1 if now == shown and all(one.is_finished for one in pilot.app.workers) else 0
        shown = now
    return shown


async def opened_tab(pilot: Pilot[None], key: str) -> str:
    """Open a tab; its picture when it has read what it shows."""
    await pilot.press(key)
    if key == "3":
        await until(pilot, lambda: pilot.app.query_one(XrayTab).can("feature"))
    return await settled(pilot)


def cut_words(pictures: dict[str, str]) -> list[str]:
    """The lines in which a word is cut: it ends in dots, or at an edge and is whole in no picture."""
    whole = {word for shown in pictures.values() for word in WHOLE.findall(shown)}
    return [
        f"{name}: {line}"
        for name, shown in pictures.items()
        for line in shown.splitlines()
        if CUT.search(line) or set(AT_EDGE.findall(line.rstrip())) - whole
    ]


@pytest.mark.parametrize("run", RUNS)
async def test_no_word_is_cut_and_a_resized_window_is_as_a_new_one(four: Path, opened: Opener, run: str) -> None:
    pictures: dict[str, str] = {}
    tabs = {tab: number for number, tab in enumerate(TITLES, 1) if LONG or run == "labels" or tab in OF_A_RUN}
    async with opened(four, START, run=run) as pilot:
        for size in (START, *OTHERS):
            await pilot.resize_terminal(*size)
            for tab, number in tabs.items():
                pictures[f"{tab} {size}"] = await opened_tab(pilot, str(number))
        assert cut_words(pictures) == []
        for tab, number in tabs.items() if LONG or run == "labels" else ():
            await pilot.press(str(number))
            for size in (*STORM, START):
                await pilot.resize_terminal(*size)
                await pilot.pause()
            fresh = timeless(pictures[f"{tab} {START}"])
            now = timeless(await settled(pilot))
            assert now == fresh, "\n".join(difflib.unified_diff(fresh.splitlines(), now.splitlines(), tab, tab, n=0))


def timeless(shown: str) -> str:
    """A picture without what the clock changes: the ages of runs."""
    return re.sub(r" *(?:now|\d+ [smh]) ", " 0 s ", shown)


@pytest.mark.parametrize("size", SIZES if LONG else SIZES[:1])
async def test_no_word_of_a_dialog_is_cut(four: Path, opened: Opener, size: tuple[int, int]) -> None:
    pictures: dict[str, str] = {}
    async with opened(four, size) as pilot:
        for name, key in DIALOGS.items():
            await pilot.press(key)
            await until(pilot, lambda: isinstance(pilot.app.screen, ModalScreen))
            await settled(pilot)
            area = pilot.app.screen.query(".dialog").first().region
            rows = screen_text(pilot.app).splitlines()[area.y : area.bottom]
            pictures[name] = "\n".join(row[area.x : area.right] for row in rows)
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(pilot.app.screen, ModalScreen))
    assert cut_words(pictures) == []
