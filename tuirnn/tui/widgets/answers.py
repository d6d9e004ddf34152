"""Held-out sequences with the answers of a classifier or tagger: right or wrong, and how probable."""

import re
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size

from tuirnn.runlog.answers import Answer, Answers
from tuirnn.text import visible_line
from tuirnn.tui.widgets.bars import bar
from tuirnn.tui.widgets.styled_text import Lines, Piece, wrap

BAR, FIGURE = 10, 4
"""Cells of a bar, and of the probability beside it."""

NARROWEST, WIDEST = 8, 44
"""Cells of the column of sequences."""

_SPAN = re.compile(r"\[[^\[\]]*\]")


class AnswerTable(Lines):
    """A line for each answer: ✓ or ✕, the sequence, a bar of the probability, the class, the right one if another.

    Where the answers are texts with marked spans, these are wrapped, and the right spans follow below wrong ones.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._answers = Answers(())
        self._rows: list[list[Piece]] = []

    def show(self, answers: Answers) -> None:
        """Display these answers, from the first."""
        if answers is not self._answers:
            self._answers = answers
            self.relayout()
            self.scroll_to(y=0, animate=False)

    def layout_lines(self) -> int:
        """Lay out all answers for the current width."""
        answers, width = self._answers.rows, self.line_width
        if any(answer.text for answer in answers):
            self._rows = _in_columns(answers, width)
        else:
            self._rows = [line for answer in answers for line in _marked(answer, width)]
        return len(self._rows)

    def line(self, number: int) -> Iterable[Piece]:
        """One line."""
        return self._rows[number]


def _sign(answer: Answer) -> Piece:
    return ("✓ ", "best") if answer.right else ("✕ ", "wrong")


def _in_columns(answers: Iterable[Answer], width: int) -> list[list[Piece]]:
    """A line each; the columns are as wide as their longest entry, as far as there is space."""
    rows = [
        (answer, visible_line(answer.text), visible_line(answer.guess), visible_line(answer.truth))
        for answer in answers
    ]
    name = max((cell_len(guess) for _, _, guess, _ in rows), default=1)
    named = max((cell_len(truth) for answer, _, _, truth in rows if not answer.right), default=0)
    beside = 2 + 2 + FIGURE + 2 + name + (5 + named if named else 0)  # without text and bar
    text = min(max((cell_len(text) for _, text, _, _ in rows), default=1), WIDEST, max(NARROWEST, width - beside - 3))
    cells = min(BAR, max(0, width - beside - text - 1))
    lines: list[list[Piece]] = []
    for answer, shown, guess, truth in rows:
        if cell_len(shown) > text:
            shown = set_cell_size(shown, text - 1).rstrip() + "…"
        figure = f"{answer.p:.2f}".removeprefix("0") if answer.p == answer.p else ""
        pieces: list[Piece] = [_sign(answer), (f"{set_cell_size(shown, text)}  ", "plain")]
        pieces.append((f"{bar(answer.p, cells)} " if cells else "", "train" if answer.right else "wrong"))
        pieces.append((f"{figure:>{FIGURE}}  ", "label"))
        pieces.append((set_cell_size(guess, name), "plain" if answer.right else "wrong"))
        pieces.append(("" if answer.right else f"  is {truth}", "label"))
        lines.append(pieces)
    return lines


def _marked(answer: Answer, width: int) -> list[list[Piece]]:
    """A text with marked spans, wrapped beside its sign; the right one below a wrong one."""
    lines = _wrapped(answer.guess, width - 2, "train" if answer.right else "wrong")
    lines[0].insert(0, _sign(answer))
    for line in lines[1:]:
        line.insert(0, ("  ", "plain"))
    if not answer.right:
        right = _wrapped(answer.truth, width - 5, "best")
        lines += [[("  is " if not number else "     ", "label"), *line] for number, line in enumerate(right)]
    return lines


def _wrapped(marked: str, width: int, style: str) -> list[list[Piece]]:
    """A text as wrapped lines, its brackets in a style."""
    text = visible_line(marked)
    styles = ["label"] * len(text)
    for span in _SPAN.finditer(text):
        styles[span.start() : span.end()] = [style] * (span.end() - span.start())
    characters = list(zip(text, styles, strict=True))
    lines: list[list[Piece]] = []
    for begin, end in wrap(characters, 0, max(width, 12)):
        pieces: list[Piece] = []
        for character, name in characters[begin:end]:
            if pieces and pieces[-1][1] == name:
                pieces[-1] = (pieces[-1][0] + character, name)
            else:
                pieces.append((character, name))
        lines.append(pieces)
    return lines
