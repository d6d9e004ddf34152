"""The novelty meter: what is written, held against the text that the network learned from."""

from pathlib import Path
from typing import TYPE_CHECKING

from tuirnn.errors import TuirnnError

if TYPE_CHECKING:
    from tuirnn.novelty import Corpus

FEWEST, MOST = 40, 20_000
"""Characters below which there is nothing to say, and above which no more are looked at."""


class Meter:
    """Measures text by one cell after another; the training text of the last one is kept.

    Args:
        folder: of the runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: tuple[str, Corpus | str] = ("", "")  # a cell and what it learned from, or why that cannot be had

    def line(self, cell: str, written: str) -> str:
        """How new the text is, in words. Not for the drawing thread: the training text of a new cell is indexed first.

        Args:
            cell: run or cell file that wrote it.
            written: the text.
        """
        known = self._known
        if cell != known[0]:
            known = self._known = (cell, self._learned_from(cell))
        corpus = known[1]
        if isinstance(corpus, str):
            return corpus
        found = corpus.measure(written)
        longest = f"{found.longest} characters" if found.longest else "under 8 characters"
        return f"novel 8-grams {found.novel * 100:.0f} % · longest copy from the training text {longest}"

    def _learned_from(self, cell: str) -> "Corpus | str":
        from tuirnn.novelty import Corpus
        from tuirnn.runtime.data import training_text

        try:
            return Corpus(training_text(cell, self._folder))
        except TuirnnError as error:
            return f"no novelty meter: {error}"
