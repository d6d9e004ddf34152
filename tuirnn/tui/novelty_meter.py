"""The novelty of generated text, measured against the training text."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tuirnn.errors import TuirnnError

if TYPE_CHECKING:
    from tuirnn.novelty import Corpus

RESTS = 10
"""How many times as long as a search takes it is before the next one."""

FEWEST, MOST = 40, 20_000
"""Shortest text that is measured, and the most characters that are measured of a longer one."""


class NoveltyMeter:
    """Measures the text of one cell at a time; the indexed training text of the last cell is kept.

    Args:
        folder: of the runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rests_until = 0.0
        self._known: tuple[str, Corpus | str] = ("", "")  # a cell, and its training text or why that is unavailable

    @property
    def rested(self) -> bool:
        """Whether it is worth while to measure again: a search of a long text takes as much as a tenth of the time."""
        return time.monotonic() >= self._rests_until

    def line(self, cell: str, written: str) -> str:
        """The novelty of a text in words. Slow for a new cell, whose training text is indexed first.

        Args:
            cell: name of the run, or path of the cell file, that wrote the text.
            written: the text.
        """
        known = self._known
        if cell != known[0]:
            known = self._known = (cell, self._corpus(cell))
        corpus = known[1]
        if isinstance(corpus, str):
            return corpus
        began = time.monotonic()
        found = corpus.measure(written)
        self._rests_until = began + RESTS * (time.monotonic() - began)
        longest = f"{found.longest} characters" if found.longest else "under 8 characters"
        return f"novel 8-grams {found.novel * 100:.0f} % · longest copy from the training text {longest}"

    def _corpus(self, cell: str) -> "Corpus | str":
        from tuirnn.novelty import Corpus
        from tuirnn.runtime.data import training_text

        try:
            return Corpus(*training_text(cell, self._folder))
        except TuirnnError as error:
            return f"novelty unavailable: {error}"
