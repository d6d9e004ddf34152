"""The lower half of the X-ray tab: which hidden units follow which features of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from tuirnn import text
from tuirnn.tui.widgets.bars import bar
from tuirnn.tui.widgets.heat import HeatMap
from tuirnn.tui.widgets.styled_text import StyledText, activation_style

if TYPE_CHECKING:
    from tuirnn.runtime.inside import Inside
    from tuirnn.units import Follower

Features = dict[str, "list[Follower]"]
"""For each feature of a text the units that follow it, the closest first."""


class UnitView(Horizontal):
    """A list of features, and a map of the units that follow one of them, or one unit over the text.

    The class `-text` selects the text.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._run = ""
        self._inside: Inside | None = None
        self._layers: tuple[Features, ...] = ()
        self._waiting = ""
        self._layer = self._feature = 0
        self._rank = 0  # of the chosen unit in the list of its feature
        self._at = 0  # first character of the map

    def compose(self) -> ComposeResult:
        """List, map and text; one of the last two is hidden."""
        units = Static("", id="xray-units", markup=False)
        units.border_title, units.border_subtitle = "units that follow", "unit, correlation"
        yield units
        yield HeatMap(id="xray-heat")
        yield StyledText(id="xray-text")

    # ── what is shown ─────────────────────────────────────────────────────────

    def wait(self, name: str, waiting: str, reset: bool) -> None:
        """Show a line instead of units.

        Args:
            name: of the run that is going to be shown.
            waiting: the line.
            reset: whether to return to the first layer and unit.
        """
        self._run, self._waiting = name, waiting
        self._inside, self._layers = None, ()
        if reset:
            self._layer = self._rank = self._at = 0
        self.draw()

    def show(self, inside: Inside, layers: tuple[Features, ...]) -> None:
        """Show the units of a cell.

        Args:
            inside: the states of the cell as it read a passage.
            layers: the features of each layer.
        """
        self._inside, self._layers = inside, layers
        self._layer = min(self._layer, max(0, len(layers) - 1))
        self._feature, self._rank = min(self._feature, max(0, len(self.features) - 1)), 0
        self.draw()

    @property
    def features(self) -> list[str]:
        """Names of the features in the present layer."""
        return list(self._layers[self._layer]) if self._layers else []

    @property
    def layer_count(self) -> int:
        """Number of layers; 0 before there are units."""
        return len(self._layers)

    @property
    def layer_index(self) -> int:
        """The present layer."""
        return self._layer

    @property
    def followers(self) -> list[Follower]:
        """The units of the present feature."""
        return self._layers[self._layer][self.features[self._feature]]

    # ── drawing ───────────────────────────────────────────────────────────────

    def draw(self) -> None:
        """Draw everything."""
        features, panel = self.features, self.query_one("#xray-units", Static)
        if not features or self._inside is None:
            panel.update(Content.styled(text.visible_line(self._waiting), "$text-muted"))
            self.query_one(HeatMap).show(np.zeros((0, 0), np.float32), (), (), -1)
            self.query_one(StyledText).clear()
            self._draw_titles(None)
            return
        width = panel.content_size.width
        panel.update(Content("\n").join(self._feature_line(number, width) for number in range(len(features))))
        if self.has_class("-text"):
            self._draw_text(self._inside)
        else:
            self._draw_map(self._inside)
        self._draw_titles(self._inside)

    def _feature_line(self, number: int, width: int) -> Content:
        """A feature, the unit that follows it, and the correlation: as a number, and as a bar if there is space."""
        features, chosen = self.features, number == self._feature
        name, wide = features[number], max(map(len, features))
        best = self._layers[self._layer][name][self._rank if chosen else 0]
        colour = "$text-success" if best.r > 0 else "$text-error"
        room = max(width - 13, 0)  # beside mark, unit and number
        cells = min(max(room - wide - 1, 0), 12)
        return Content.assemble(
            ("▸ " if chosen else "  ", "bold $accent"),
            (name.ljust(wide)[:room], "bold" if chosen else ""),
            (f" {best.unit:>4} ", "$text-muted"),
            (f"{best.r:+.2f}", f"bold {colour}" if chosen else colour),
            (f" {bar(abs(best.r), cells)}" if cells else "", colour),
        )

    def _draw_text(self, inside: Inside) -> None:
        values = inside.states[:, self._layer, self.followers[self._rank].unit].tolist()  # [T]
        pieces = [(symbol, activation_style(value)) for symbol, value in zip(inside.symbols, values, strict=True)]
        panel = self.query_one(StyledText)
        where = panel.scroll_offset.y
        panel.show(pieces)
        panel.scroll_to(y=where, animate=False)

    def _draw_map(self, inside: Inside) -> None:
        states, order = inside.states[:, self._layer], self.followers  # [T, H]
        heat = self.query_one(HeatMap)
        wide, high = heat.room
        first = max(0, min(self._rank - high // 2, len(order) - high))
        rows = order[first : first + high]
        self._at = max(0, min(self._at, len(states) - wide))
        part = slice(self._at, self._at + wide)
        values = states[part, [one.unit for one in rows]].T if rows else np.zeros((0, 0), np.float32)  # [rows, wide]
        labels = [f"{one.unit:>4} {one.r:+.2f}" for one in rows]
        heat.show(values, labels, inside.symbols[part], self._rank - first)

    def _draw_titles(self, inside: Inside | None) -> None:
        heat, prose = self.query_one(HeatMap), self.query_one(StyledText)
        if inside is None:
            heat.border_title, prose.border_title = Content("hidden state"), Content("unit over the text")
            heat.border_subtitle = prose.border_subtitle = Content("")
            return
        layer = f" · layer {self._layer + 1}" if inside.states.shape[1] > 1 else ""
        name = f"{text.visible_line(self._run)} · {inside.described}{layer}"
        heat.border_title = Content(f"{name} · hidden state")
        prose.border_title = Content(f"{name} · unit {self.followers[self._rank].unit} over the text")
        heat.border_subtitle = Content(
            f"▓ above zero ▒ below · {text.count(self._at)} … of {text.count(len(inside.symbols))}"
        )
        prose.border_subtitle = Content.assemble(
            *((f" {level // 3 - 1:+d} ", f"$background on $act-{level}") for level in (0, 3, 6)), " its activation"
        )

    # ── moving ────────────────────────────────────────────────────────────────

    def move_unit(self, by: int) -> None:
        """Choose a unit further down (1) or up (-1) in the list of its feature."""
        self._rank = min(max(self._rank + by, 0), len(self.followers) - 1)
        self.draw()

    def next_feature(self) -> None:
        """Choose the next feature, and the unit that follows it most closely."""
        self._feature, self._rank = (self._feature + 1) % len(self.features), 0
        self.draw()

    def next_layer(self) -> None:
        """Choose the next layer."""
        self._layer, self._rank = (self._layer + 1) % len(self._layers), 0
        self._feature = min(self._feature, len(self.features) - 1)
        self.draw()

    def move_text(self, by: int) -> None:
        """Move to the next (1) or previous (-1) passage of the text."""
        if self.has_class("-text"):
            panel = self.query_one(StyledText)
            (panel.scroll_page_down if by > 0 else panel.scroll_page_up)(animate=False)
            return
        self._at += by * max(1, self.query_one(HeatMap).room[0] * 3 // 4)
        self.draw()
