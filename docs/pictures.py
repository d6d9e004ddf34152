"""Pictures of the dashboard, from the dashboard itself: a still of every screen, and one that moves.

    make pictures

trains small networks in a temporary folder, which takes some minutes, and writes SVG files to docs/pictures. Rows
that several frames of the moving picture share are in it once.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from html import escape
from itertools import groupby
from pathlib import Path

from rich.segment import Segment
from rich.style import Style
from textual.pilot import Pilot

from tuirnn.config import RunConfig, load_recipe
from tuirnn.runs import detached
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_status
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.screens.generate import GenerateTab
from tuirnn.tui.screens.xray import XrayTab

HERE = Path(__file__).parent / "pictures"
STILL, MOVING = (120, 36), (90, 26)
"""Columns and rows."""

SWEPT = ".swept"
"""Folder of the sweep's runs, inside that of the others."""

CELL = (8.4, 17)
"""Width and height of a cell."""

TERMINAL = ("#e7e4db", "#0f1218")
"""Colours of text and background where a cell has none."""

Row = tuple[tuple[str, str, str, bool], ...]
"""Text, its colour, its background, whether it is bold; from left to right."""


def rows_of(app: DashboardApp) -> list[Row]:
    """What is on the screen."""
    return [_row(list(strip)) for strip in app.screen._compositor.render_strips()]


def _row(segments: list[Segment]) -> Row:
    pieces: list[tuple[str, str, str, bool]] = []
    for text, style, _ in segments:
        colour, ground, bold = _colours(style or Style())
        if pieces and pieces[-1][1:] == (colour, ground, bold):
            pieces[-1] = (pieces[-1][0] + text, colour, ground, bold)
        else:
            pieces.append((text, colour, ground, bold))
    return tuple(pieces)


def _colours(style: Style) -> tuple[str, str, bool]:
    colour = style.color.get_truecolor().hex if style.color else TERMINAL[0]
    ground = style.bgcolor.get_truecolor().hex if style.bgcolor else TERMINAL[1]
    return (ground, colour, bool(style.bold)) if style.reverse else (colour, ground, bool(style.bold))


class Colours:
    """Short class names of the colours of a picture."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, bool], str] = {}

    def name(self, colour: str, bold: bool) -> str:
        """The class of texts in this colour."""
        return self._names.setdefault((colour, bold), f"c{len(self._names)}")

    def rules(self) -> str:
        """The style sheet."""
        return "".join(
            f".{name}{{fill:{colour}{';font-weight:bold' * bold}}}" for (colour, bold), name in self._names.items()
        )


def drawn(row: Row, y: int, colours: Colours) -> str:
    """A row as elements of SVG: backgrounds, then texts, each as wide as its cells whatever the font."""
    width, height = CELL
    x, grounds, letters = 0, list[str](), list[tuple[int, str, str]]()
    for text, colour, ground, bold in row:
        if ground != TERMINAL[1]:
            place = f'x="{x * width:.1f}" y="{y * height}" width="{len(text) * width:.1f}" height="{height}"'
            grounds.append(f'<rect {place} fill="{ground}"/>')
        name = colours.name(colour, bold)
        letters += [(at, letter, name) for at, letter in enumerate(text, x)]
        x += len(text)
    return "".join([*grounds, *_texts(letters, y)])


def _texts(letters: list[tuple[int, str, str]], y: int) -> Iterator[str]:
    """A text for each run of letters that one font is likely to have."""
    for (drawing, blank), run in groupby(letters, lambda one: (ord(one[1]) >= 0x2000, one[1] == " ")):
        cells = list(run)
        if blank:
            continue
        parts = []
        for name, same in groupby(cells, lambda one: one[2]):
            parts.append((name, escape("".join(letter for _, letter, _ in same))))
        x, wide = cells[0][0] * CELL[0], len(cells) * CELL[0]
        place = f'x="{x:.1f}" y="{y * CELL[1] + 13}"' + f' textLength="{wide:.1f}"' * (drawing or len(cells) > 3)
        if len(parts) == 1:
            yield f'<text class="{parts[0][0]}" {place}>{parts[0][1]}</text>'
        else:
            inner = "".join(f'<tspan class="{name}">{text}</tspan>' for name, text in parts)
            yield f"<text {place}>{inner}</text>"


def svg(frames: list[list[Row]], seconds: list[float], size: tuple[int, int]) -> str:
    """One picture of one or several frames.

    Args:
        frames: rows of each.
        seconds: that each is shown.
        size: columns and rows.
    """
    wide, high = size[0] * CELL[0], size[1] * CELL[1]
    total, begins = sum(seconds), [sum(seconds[:k]) for k in range(len(seconds) + 1)]
    colours = Colours()
    rules: dict[tuple[int, int], str] = {}
    body = []
    for y in range(size[1]):
        first = 0
        for frame in range(1, len(frames) + 1):
            if frame < len(frames) and frames[frame][y] == frames[first][y]:
                continue
            part = drawn(frames[first][y], y, colours)
            if (first, frame) == (0, len(frames)):
                body.append(part)
            elif part:
                name = rules.setdefault((first, frame), f"f{len(rules)}")
                body.append(f'<g class="{name}">{part}</g>')
            first = frame
    style = []
    for (first, end), name in rules.items():
        on, off = 100 * begins[first] / total, 100 * begins[end] / total
        stops = ["0%{opacity:0}"] * (on > 0) + [f"{on:.2f}%{{opacity:1}}"] + [f"{off:.2f}%{{opacity:0}}"] * (off < 100)
        style.append(f"@keyframes {name}{{{''.join(stops)}}}.{name}{{animation:{name} {total:.1f}s step-end infinite}}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {wide + 16:.0f} {high + 16:.0f}">'
        f"<style>text{{font:14px Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}"
        f"{colours.rules()}{''.join(style)}</style>"
        f'<rect x="-8" y="-8" width="{wide + 16:.0f}" height="{high + 16:.0f}" rx="8" fill="{TERMINAL[1]}"/>'
        f"<g>{''.join(body)}</g></svg>\n"
    )


# ── what is shown ─────────────────────────────────────────────────────────────


def train(folder: Path) -> None:
    """Three small networks, one after the other; beside them, a sweep over smaller ones."""
    text = RunConfig().replace(hidden=96, minutes=0.0, steps=400, eval_every=100)
    labels = load_recipe("entities").config.replace(hidden=48, epochs=1.0, eval_every=40)
    series = load_recipe("sincos").config.replace(hidden=32, epochs=20.0, eval_every=100)
    for name, config in (("manual", text), ("entities", labels), ("sincos", series)):
        _finish(detached.start(config, folder, name))
    axes = ["--lr", "0.001,0.003,0.01", "--hidden", "16,48", "--seed", "0,1"]
    limits = ["--steps", "150", "--eval-every", "50", "--batch-size", "16", "--seq-len", "32", "--name", "rates"]
    words = ["sweep", "--runs", str(folder / SWEPT), *axes, *limits]
    subprocess.run([sys.executable, "-m", "tuirnn", *words], check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def _finish(run: RunPaths) -> None:
    while read_status(run).live:
        time.sleep(0.5)


async def until(pilot: Pilot[None], ready: Callable[[], bool]) -> None:
    """Wait until a condition holds, for a minute at most."""
    for _ in range(1200):
        if ready():
            return
        await pilot.pause(0.05)
    raise SystemExit("a screen did not become what it should be")


async def stills(folder: Path) -> None:
    """A still of every screen."""
    shots: list[tuple[str, str | None, list[str], float]] = [
        ("runs", None, [], 1.0),
        ("train", "manual", [], 1.0),
        ("train-tags", "entities", [], 1.0),
        ("train-series", "sincos", [], 1.0),
        ("xray", "manual", ["3"], 3.0),
        ("xray-tags", "entities", ["3", *["right"] * 9], 3.0),
        ("xray-series", "sincos", ["3"], 3.0),
        ("generate", "manual", ["4", "space"], 3.0),
        ("generate-series", "sincos", ["4"], 3.0),
        ("compare", None, ["space", "space", "5"], 1.0),
        ("new-run", None, ["n"], 1.5),
        ("sweep", None, ["6"], 1.5),
    ]
    for name, run, keys, seconds in shots:
        app = DashboardApp(folder / SWEPT if name == "sweep" else folder, run)
        async with app.run_test(size=STILL) as pilot:
            await until(pilot, lambda app=app: app.folder.was_read)  # type: ignore[misc]
            await pilot.pause(0.7)
            await pilot.press(*keys[:1])
            await pilot.pause(seconds)
            await pilot.press(*keys[1:])
            await pilot.pause(0.7)
            write(name, [rows_of(app)], [1.0], STILL)
    with tempfile.TemporaryDirectory() as empty:
        app = DashboardApp(Path(empty) / "runs")
        async with app.run_test(size=STILL) as pilot:
            await until(pilot, lambda: app.folder.was_read)
            await pilot.pause(0.5)
            write("first", [[_without(row, empty) for row in rows_of(app)]], [1.0], STILL)


def _without(row: Row, folder: str) -> Row:
    """A row without the name of a temporary folder."""
    return tuple((text.replace(f"{folder}/runs", "runs".ljust(len(folder) + 5)), *rest) for text, *rest in row)  # type: ignore[misc]


async def moving(folder: Path) -> None:
    """A network learns to write, is looked into, writes, is taken back and branches."""
    app = DashboardApp(folder, "manual")
    frames: list[list[Row]] = []
    seconds: list[float] = []
    async with app.run_test(size=MOVING) as pilot:

        async def show(*keys: str, wait: float = 0.25, last: float = 0.8) -> None:
            await pilot.press(*keys)
            await pilot.pause(wait)
            frames.append(rows_of(app))
            seconds.append(last)

        await until(pilot, lambda: app.folder.was_read)
        await pilot.pause(1.0)
        await pilot.press(*["["] * 9)  # back to the first evaluation
        for _ in range(4):
            await show("]", last=1.1)
        await show("3", wait=0.5, last=0.3)
        await until(pilot, lambda: app.query_one(XrayTab).can("feature"))
        await show(last=1.8)
        await show("down", last=0.6)
        await show("f", last=0.9)
        await show("v", last=1.8)
        await show("4", wait=1.0, last=0.6)
        await until(pilot, lambda: app.query_one(GenerateTab).can("step"))
        await pilot.press("space")
        for _ in range(5):
            await show(wait=0.35, last=0.4)
        await show("space", last=1.0)
        for _ in range(4):
            await show(*["left"] * 12, last=0.35)
        await show("i", last=0.5)
        for word in ("The ", "net", "work "):
            await show(*["space" if letter == " " else letter for letter in word], last=0.4)
        await pilot.press("enter")
        for _ in range(4):
            await show(wait=0.35, last=0.4)
        await show("space", last=2.5)
    write("moving", frames, seconds, MOVING)


def write(name: str, frames: list[list[Row]], seconds: list[float], size: tuple[int, int]) -> None:
    """Write a picture, and say how large it is."""
    HERE.mkdir(exist_ok=True)
    path = HERE / f"{name}.svg"
    path.write_text(svg(frames, seconds, size), encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {len(frames)} frames")


def main() -> None:
    """Train, then draw."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        train(runs)
        parts: tuple[Callable[[Path], Awaitable[None]], ...] = (stills, moving)
        for part in parts:
            asyncio.run(part(runs))


if __name__ == "__main__":
    main()
