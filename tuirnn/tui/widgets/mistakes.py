"""Held-out text with the loss of each symbol, and the wrong predictions below it."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from tuirnn.text import token_label
from tuirnn.tui.widgets.styled_text import Lines, Piece, surprise_style


class Mistakes(Lines):
    """A text coloured by the loss of each symbol, with each wrong prediction on the line below it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tokens: list[tuple[str, str, str]] = []  # symbol, style, wrong prediction or ''
        self._rows: list[tuple[list[Piece], list[Piece]]] = []

    def show(self, symbols: Sequence[str], nats: Sequence[float], predictions: Sequence[str]) -> None:
        """Display a text.

        Args:
            symbols: of the text.
            nats: loss of each symbol.
            predictions: the likeliest symbol in the place of each.
        """
        self._tokens = [
            (
                token_label(symbol) if symbol != " " else " ",
                surprise_style(loss),
                token_label(predicted) if predicted != symbol else "",
            )
            for symbol, loss, predicted in zip(symbols, nats, predictions, strict=True)
        ]
        self.relayout()

    def layout_lines(self) -> int:
        """Put symbols above predictions, in columns as wide as the wider of the two."""
        self._rows, used = [], self.line_width
        for symbol, style, predicted in self._tokens:
            cells = max(cell_len(symbol), cell_len(predicted), 1)
            if used + cells > self.line_width or not self._rows:
                self._rows.append(([], []))
                used = 0
            above, below = self._rows[-1]
            above.append((symbol + " " * (cells - cell_len(symbol)), style))
            below.append((predicted + " " * (cells - cell_len(predicted)), "wrong"))
            used = self.line_width if symbol == "↵" else used + cells
        return 2 * len(self._rows)

    def line(self, number: int) -> Iterable[Piece]:
        """Even lines are the text, odd ones the predictions."""
        return self._rows[number // 2][number % 2]
