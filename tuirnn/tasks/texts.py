"""Many texts to answer: the lines of a file, or a column of a table; and how much of them a vocabulary knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np

from tuirnn.errors import DataError, one_line
from tuirnn.tables.encodings import decode
from tuirnn.tables.given import Given
from tuirnn.vocab import Tokens, Vocabulary

TABLES = (".csv", ".tsv", ".tab")
"""Endings of tables; other files have a text a line."""

SHOWN = 8
"""Unknown symbols that a note lists."""


@dataclass(frozen=True)
class Texts:
    """Texts to answer, none of them empty, and notes on how they were read."""

    texts: list[str]
    notes: list[str]


def read(data: bytes, name: str, given: Given, *, column: str = "", known: Mapping[str, Any] | None = None) -> Texts:
    """The texts of a file.

    Args:
        data: its bytes.
        name: of the file; one that ends as a table's does is a table.
        given: what the user says about it.
        column: of a table that the user names; it makes the file a table.
        known: how the data that a network learned from were read: its text column is taken where it is there.
    Raises:
        DataError: no text in it, or no column of texts that can be told.
    """
    if column or PurePath(name).suffix.lower() in TABLES:
        texts, notes = _of_table(data, name, given, column, known or {})
    else:
        text, encoding, notes = decode(data, name, given.encoding)
        notes = [f"{name}: {encoding.told}"] * bool(encoding.told) + notes
        texts = text.splitlines()
    kept = [stripped for text in texts if (stripped := text.strip())]
    if not kept:
        raise DataError(f"{one_line(name)} has no line with text")
    if column and len(kept) < len(texts):
        notes.append(f"{len(texts) - len(kept):,} rows without text left out")
    return Texts(kept, notes)


def _of_table(
    data: bytes, name: str, given: Given, column: str, known: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    from tuirnn.tables import table as tables
    from tuirnn.tasks.classify.columns import choose_text

    usual = str(known.get("text_column", ""))
    table = tables.read(data, name, replace(given, names=tuple(filter(None, [column or usual]))))
    place = choose_text(table, column, usual)
    said = [f"{name}: {table.told}", f"answering column '{one_line(table.names[place], 60)}'"]
    return table.cells(place), [*said, *table.notes]


def unknown_share(vocab: Vocabulary, ids: Tokens | Sequence[Tokens]) -> list[str]:
    """A note on how many of some tokens a vocabulary does not know; none where it knows all.

    Args:
        vocab: of the network.
        ids: tokens [n], or several such.
    """
    if vocab.unk is None:
        return []
    several = [ids] if isinstance(ids, np.ndarray) else ids
    return unknown_note(sum(int((one == vocab.unk).sum()) for one in several), sum(map(len, several)))


def unknown_note(unknown: int, total: int) -> list[str]:
    """A note on so many unknown tokens; none where there are none."""
    if not unknown:
        return []
    return [
        f"{100 * unknown / total:.2g} % of the {total:,} tokens are not in this network's vocabulary, read as unknown"
    ]
