"""Completes what is typed as a source of data: files and folders of this machine, names of data sets."""

import os
import shlex
from itertools import islice
from pathlib import Path

from textual.suggester import Suggester

from tuirnn.tasks import datasets

MOST = 2_000
"""Entries of a folder that are looked at."""


def completed(typed: str) -> str | None:
    """What is typed with its last word completed; None if nothing begins like it, or several words are in quotes."""
    before, blank, word = typed.rpartition(" ")
    if not word or any(quote in typed for quote in "'\"\\"):
        return None
    found = _paths(word) + [name for name in sorted(datasets.DATASETS) if name.startswith(word)]
    return before + blank + found[0] if found else None


def _paths(word: str) -> list[str]:
    """Paths that begin like a word, folders with a slash at the end; hidden ones only if their dot was typed."""
    folder, slash, begun = word.rpartition("/")
    try:
        with os.scandir(Path(folder + slash or ".").expanduser()) as entries:
            names = [one.name + "/" * one.is_dir() for one in islice(entries, MOST) if one.name.startswith(begun)]
    except (OSError, ValueError, RuntimeError):  # no such folder, no such user
        return []
    names = [name for name in sorted(names) if begun or not name.startswith(".")]
    return [folder + slash + name for name in names if shlex.quote(name) == name]


class SourceSuggester(Suggester):
    """Suggests the rest of a source; the key → takes it."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """What is typed, completed."""
        return completed(value)
