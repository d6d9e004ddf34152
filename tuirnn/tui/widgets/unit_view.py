"""The lower half of the X-ray tab: which hidden units follow which features of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from tuirnn import text
from tuirnn.tui.widgets import passage
from tuirnn.tui.widgets.bars import bar
from tuirnn.tui.widgets.heat import DOTS, SHADES, Heat, HeatMap
from tuirnn.tui.widgets.styled_text import StyledText, activation_style
from tuirnn.tui.widgets.titles import entitle, fit

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
        self._part = slice(0, 0)  # of the passage that the map shows
        self._at = 0  # first character of the map; in sequences the chosen one
        self._step = self._newest = 0  # of the network that is shown, and of the best one there is

    def compose(self) -> ComposeResult:
        """List, map and text; one of the last two is hidden."""
        units = Static("", id="xray-units", markup=False)
        entitle(units, "units that follow", "unit, correlation")
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

    def tell_newest(self, step: int) -> None:
        """Say in the titles that there is a better network than the one on show."""
        if step != self._newest:
            self._newest = step
            self._draw_titles(self._inside)

    def show(self, inside: Inside, layers: tuple[Features, ...], step: int) -> None:
        """Show the units of a cell.

        Args:
            inside: the states of the cell as it read a passage.
            layers: the features of each layer.
            step: of the training that the cell was written at; 0 where that is not known.
        """
        self._step = self._newest = step
        self._inside, self._layers = inside, layers
        self._layer = min(self._layer, max(0, len(layers) - 1))
        self._feature, self._rank = min(self._feature, max(0, len(self.features) - 1)), 0
        if self.is_series:  # which has no text to lay a unit over
            self.remove_class("-text")
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

    def as_text(self) -> str:
        """The features of the present layer, the unit that follows each best, and their correlation, a line each."""
        wide = max(map(len, self.features), default=0)
        best = {name: self._layers[self._layer][name][0] for name in self.features}
        return "\n".join(f"{name.ljust(wide)}  unit {one.unit:>4}  {one.r:+.2f}" for name, one in best.items())

    # ── drawing ───────────────────────────────────────────────────────────────

    def draw(self) -> None:
        """Draw everything."""
        features, panel = self.features, self.query_one("#xray-units", Static)
        if not features or self._inside is None:
            panel.update(Content.styled(text.visible_line(self._waiting), "$text-muted"))
            self.query_one(HeatMap).show(Heat())
            self.query_one(StyledText).clear()
            self._draw_titles(None)
            return
        width = panel.content_size.width
        panel.update(Content("\n").join(self._feature_line(number, width) for number in range(len(features))))
        if self.has_class("-text") and not self.is_series:
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
        for start in reversed(inside.starts[1:]):  # a line for each sequence
            pieces.insert(start, ("\n", "plain"))
        panel = self.query_one(StyledText)
        where = panel.scroll_offset.y
        panel.show(pieces)
        panel.scroll_to(y=where, animate=False)

    def _draw_map(self, inside: Inside) -> None:
        """Draw the units of the feature, the closest first, over the part of the passage that fits."""
        states, order, T = inside.states[:, self._layer], self.followers, len(inside.symbols)  # states [T, H]
        heat, cursor, wide = self.query_one(HeatMap), -1, 1
        self._at = max(0, min(self._at, T - 1))
        lines = passage.lines_of(inside, slice(0, T)) if inside.columns else []
        if passage.walks(inside):
            _, first, end = inside.sequence_at(self._at)
            lines = passage.lines_of(inside, slice(first, end))
        label = max([passage.LABEL] + [len(name) for name, _ in lines])
        room, high = heat.room(label, len(lines))
        if passage.walks(inside):
            wide = max(1, min(passage.WIDEST, room // (end - first)))
            begin = max(first, min(self._at - room // wide // 2, end - room // wide))
            part = slice(begin, min(end, begin + room // wide))
            lines, cursor = (
                [(name, values[part.start - first : part.stop - first]) for name, values in lines],
                (self._at - begin),
            )
        else:
            self._at = max(0, min(self._at, T - room))
            part = slice(self._at, min(T, self._at + room))
            lines = [(name, values[part]) for name, values in lines]
        top = max(0, min(self._rank - high // 2, len(order) - high))
        rows = order[top : top + high]
        values = states[part, [one.unit for one in rows]].T if rows else np.zeros((0, 0), np.float32)  # [rows, wide]
        labels = tuple(f"{one.unit:>4} {one.r:+.2f}" for one in rows)
        symbols = passage.symbols_of(inside, part)
        heat.show(Heat(values, labels, symbols, self._rank - top, lines, cursor, wide))
        self._part = part

    def _draw_titles(self, inside: Inside | None) -> None:
        heat, prose = self.query_one(HeatMap), self.query_one(StyledText)
        if inside is None:
            entitle(heat, "hidden state", "")
            entitle(prose, "unit over the text", "")
            return
        layer = f"layer {self._layer + 1}" if inside.states.shape[1] > 1 else ""
        steps = [f"step {text.count(self._step)}"] if self._step else []
        steps += [f"r: step {text.count(self._newest)}"] if self._newest > self._step > 0 else []
        name, width = text.visible_line(self._run), self.size.width - self.query_one("#xray-units").outer_size.width
        if passage.walks(inside):
            where = passage.told_at(inside, self._at)
        elif inside.columns:
            where = passage.values_at(inside, self._part)
        else:
            part = self._part
            where = [f"{text.count(part.start + 1)}–{text.count(part.stop)} of {text.count(len(inside.symbols))}"]
        key = Content.assemble((SHADES[3:], "$warning"), " above 0 ", (DOTS[3:], "$primary"), " below")
        entitle(heat, fit(["hidden state", name, inside.described, *steps, layer], width), fit([*where, key], width))
        unit = f"unit {self.followers[self._rank].unit} over the text"
        shades = ((f" {level // 3 - 1:+d} ", f"$background on $act-{level}") for level in (0, 3, 6))
        entitle(prose, fit([unit, name, *steps, layer], width), Content.assemble(*shades, " its activation"))

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
        """Move to the next (1) or previous (-1) passage of a text or series, or letter of a sequence."""
        if self.has_class("-text"):
            panel = self.query_one(StyledText)
            (panel.scroll_page_down if by > 0 else panel.scroll_page_up)(animate=False)
            return
        self._at += by if self.is_walked else by * max(1, (self._part.stop - self._part.start) * 3 // 4)
        self.draw()

    def next_sequence(self, by: int) -> None:
        """Go to the first letter of the next (1) or previous (-1) sequence."""
        if self._inside is not None and self.is_walked:
            starts = self._inside.starts
            number = self._inside.sequence_at(self._at)[0]
            self._at = starts[(number + by) % len(starts)]
            self.draw()

    @property
    def is_walked(self) -> bool:
        """Whether the passage consists of sequences, which are walked letter by letter."""
        return self._inside is not None and passage.walks(self._inside)

    @property
    def is_series(self) -> bool:
        """Whether the passage is a series of numbers."""
        return self._inside is not None and bool(self._inside.columns)
