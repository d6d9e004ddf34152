"""Tagged sequences in files: columns of words and tags, or a table with a text and its tags in each row.

A sequence becomes a text as one types it: its words with blanks between them, none before a comma or a closing bracket.
The network reads that text; each of its tokens has the tag of the word that it belongs to, and a blank has O.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuirnn.errors import DataError, one_line
from tuirnn.settings.data import DataConfig
from tuirnn.tables import table as tables
from tuirnn.tasks import sources

TAG_COLUMNS = ("tags", "tag", "labels", "label")
"""Headings that make a file a table: its column of tags."""

CLOSING, OPENING = ".,;:!?)]}", "([{"
CLOSERS, OPENERS = frozenset(CLOSING), frozenset(OPENING)
"""Words that stand without a blank before them, and after them."""

QUOTES = "\"'`«»‹›“”„‘’‚…"
"""What else around a word is a word of its own."""

MAX_LENGTH = 100_000
"""Characters of one sequence."""

DOCUMENT = "-DOCSTART-"
"""The first column of a line between two documents, in the data of CoNLL-2003."""


UNIVERSAL = 10
"""Columns of CoNLL-U, which begin with a word's number: the second is the word, the fourth its part of speech."""


@dataclass(frozen=True)
class Tagged:
    """One sequence.

    Attributes:
        text: what the network reads.
        words: of each word its first character in the text, and the one after its last.
        tags: one a word.
    """

    text: str
    words: tuple[tuple[int, int], ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """What a file holds.

    Attributes:
        sequences: in the file's order.
        symbols: the tags are those of single symbols, not of words.
        comments, documents: lines that hold no word: comments, and limits of documents.
        notes: how a table was read, a line each.
        read: the same for a run's record.
    """

    sequences: tuple[Tagged, ...]
    symbols: bool = False
    comments: int = 0
    documents: int = 0
    notes: tuple[str, ...] = ()
    read: dict[str, Any] = field(default_factory=dict)


def read(text: str, name: str, config: DataConfig, before: Mapping[str, Any] | None = None) -> Reading:
    """Read a file of either form.

    Args:
        text: of the file.
        name: for messages.
        config: `text_column` and `label_column`; either makes the file a table.
        before: how a run has read its data: its columns are taken where a table has them.
    Raises:
        DataError: a line that fits neither form; the message has its number.
    """
    head = [field.strip(' "\r').lower() for field in re.split(r"[\t;,]", text.split("\n", 1)[0])]
    if config.text_column or config.label_column or (len(head) > 1 and set(head) & set(TAG_COLUMNS)):
        return _read_table(text, name, config, before or {})
    return _read_columns(text, name)


def _read_columns(text: str, name: str) -> Reading:
    """A word and its tag on each line, the first and the last of its fields; blank lines between sequences."""
    sequences: list[Tagged] = []
    words: list[str] = []
    tags: list[str] = []
    comments = documents = 0
    for number, line in enumerate([*text.split("\n"), ""], 1):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line.strip() else line.split()
        if not any(fields) or fields[0] == DOCUMENT:
            documents += DOCUMENT in fields
            if words:
                sequences.append(_fitting(tagged(words, tags), f"{name}, line {number}"))
            words, tags = [], []
        elif not words and line.startswith("# "):  # later in a sequence, # is a word
            comments += 1
        elif len(fields) == UNIVERSAL and re.fullmatch(r"\d+[-.]\d+", fields[0]):
            continue  # a range of words, or one that the text lacks
        else:
            if len(fields) < 2 or not fields[0] or not fields[-1]:
                raise DataError(
                    f"{name}, line {number}: '{one_line(line.strip(), 60)}' where a word and its tag are expected, "
                    f"as in 'Anna B-PER'; a table names its column of tags '{TAG_COLUMNS[0]}', or give --label-column"
                )
            first, last = (1, 3) if len(fields) == UNIVERSAL and fields[0].isdigit() else (0, -1)
            words.append(fields[first])
            tags.append(fields[last])
    return Reading(tuple(sequences), False, comments, documents, read={"form": "a word and its tag on each line"})


def _read_table(text: str, name: str, config: DataConfig, before: Mapping[str, Any]) -> Reading:
    """A text and its tags in each row: words and tags with blanks between, or as many tags as the text has symbols."""
    wanted = tuple(filter(None, (config.text_column, config.label_column)))
    table = tables.read(text.encode(), name, sources.given(config, wanted))
    names = table.names
    if len(names) < 2:
        raise DataError(f"{name} has {len(names)} column; a table of tagged texts has a text and its tags")
    lower = [heading.strip().lower() for heading in names]
    usual = next((names[lower.index(heading)] for heading in TAG_COLUMNS if heading in lower), names[-1])
    texts, tags = (before.get(key) if before.get(key) in names else None for key in ("text_column", "label_column"))
    of = table.position(config.label_column or str(tags or usual))
    column = config.text_column or str(texts or "")
    at = table.position(column) if column else int(of == 0)
    if of == at:
        raise DataError(f"{name}: column '{one_line(names[of], 60)}' is both text and tags; give --label-column")
    rows = list(zip(table.cells(at), table.cells(of), strict=True))
    symbols = not any(len(tags.split()) > 1 for _, tags in rows)
    sequences = []
    for row, (text_, tags_) in enumerate(rows):
        words, of_words = (list(text_), list(tags_.strip())) if symbols else (text_.split(), tags_.split())
        if not words or len(words) != len(of_words):
            unit = "symbols" if symbols else "words"
            raise DataError(
                f"{name}, line {table.line(row)}: {len(of_words)} tags for {len(words)} {unit}; give each {unit[:-1]} "
                "one tag, " + ("or each word one, with blanks between them" if symbols else "with blanks between them")
            )
        sequences.append(_fitting(tagged(words, of_words, symbols=symbols), f"{name}, line {table.line(row)}"))
    chosen = {"text_column": names[at], "label_column": names[of]}
    notes = (
        f"{name}: {table.told}",
        f"text: column '{one_line(names[at], 60)}'; tags: column '{one_line(names[of], 60)}', one for each "
        f"{'symbol' if symbols else 'word'}",
        *table.notes,
    )
    read_ = {"form": "a table", "dialect": table.dialect.to_json(), "rows": len(table), **chosen}
    return Reading(tuple(sequences), symbols, notes=notes, read=read_)


def tagged(words: Sequence[str], tags: Sequence[str], *, symbols: bool = False) -> Tagged:
    """Put a sequence's words together; `symbols`: as they are, with no blanks between."""
    pieces: list[str] = []
    places, at = [], 0
    for word, before in zip(words, ["(", *words], strict=False):
        if not (symbols or word in CLOSERS or before in OPENERS):
            pieces.append(" ")
            at += 1
        pieces.append(word)
        places.append((at, at + len(word)))
        at += len(word)
    return Tagged("".join(pieces), tuple(places), tuple(tags))


def _fitting(sequence: Tagged, where: str) -> Tagged:
    if len(sequence.text) > MAX_LENGTH:
        raise DataError(
            f"{where}: a sequence of {len(sequence.text):,} characters ends here, more than {MAX_LENGTH:,}; divide it, "
            "with blank lines where words have lines of their own"
        )
    return sequence


def words_of(text: str) -> list[tuple[int, int]]:
    """The words of a text that nobody has divided: between blanks, without the brackets and signs around them.

    Returns:
        of each word its first character, and the one after its last; a bracket or sign is a word of its own.
    """
    found: list[tuple[int, int]] = []
    for chunk in re.finditer(r"\S+", text):
        (first, last), inner = chunk.span(), chunk.group()
        start = first + len(inner) - len(inner.lstrip(OPENING + QUOTES))
        end = max(start, first + len(inner.rstrip(CLOSING + QUOTES)))
        found += _single(first, start)
        found += [(start, end)] if start < end else []
        found += _single(end, last)
    return found


def _single(first: int, last: int) -> Iterable[tuple[int, int]]:
    return ((at, at + 1) for at in range(first, last))
