"""Sequences by class, from a table or from the files of a folder; what was understood is told and kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn.errors import DataError, one_line
from tuirnn.settings.data import DataConfig
from tuirnn.tables import table as tables
from tuirnn.tables.dialect import Dialect, former
from tuirnn.tasks import sources
from tuirnn.tasks.classify import columns, folders
from tuirnn.tasks.texts import TABLES

EXAMPLES, EXAMPLE_LENGTH, MORE = 3, 60, 20
"""How many examples are shown, how much of each, and how many of a class are looked at for one with text."""

MOST_UNLABELLED = 0.05
"""Share of rows without a label from which a table is refused."""


@dataclass(frozen=True)
class Labelled:
    """Sequences by class, as they stand in the data.

    Attributes:
        groups: sequences by label.
        name: of the data, for people.
        source: the bytes that they came from.
        notes: what was understood and left out, a line each.
        read: the same for a run's record.
        lines: a sequence was a line, so that an empty one is none.
    """

    groups: dict[str, list[str]]
    name: str
    source: sources.Source
    notes: tuple[str, ...]
    read: dict[str, Any]
    lines: bool = False


def read(config: DataConfig, known: Mapping[str, Any] | None, stdin: Path | None) -> Labelled:
    """Read the one folder or table of `config`.

    Args:
        config: settings.
        known: an existing run's summary of its data; None: a new run.
        stdin: a run's copy of standard input, which must then be a table.
    Raises:
        DataError: several sources, or a table or folder whose classes cannot be told.
    """
    if len(config.sources) != 1:
        raise DataError(
            f"a classifier learns from one folder (a file or folder per class) or one table, not from "
            f"{len(config.sources)} sources"
        )
    return understand(config, sources.parts(config.sources[0], stdin, empty=True), known)


def understand(config: DataConfig, files: list[tuple[str, bytes]], known: Mapping[str, Any] | None = None) -> Labelled:
    """Sequences by class in the files of a folder, or in a table; see `read`."""
    given = config.sources[0]
    name = one_line(Path(given).name or given)
    whole = sources.Source(name, b"\n".join(data for _, data in files if data.strip()), tuple(files))
    before = sources.remembered(known, whole)
    if before == {}:
        return _former(config, files, whole)
    if len(files) == 1:
        return _table(config, sources.Source(*files[0]), before or {})
    if all(Path(label).suffix.lower() in TABLES for label, _ in files):
        raise DataError(f"{name} is a folder of {len(files)} tables; name one of them, such as {files[0][0]}")
    example = str((before or {}).get("example", config.example))
    found = folders.read(files, name, config.encoding, example)
    folders.refuse_one_class(found, name)
    groups, lines = found.groups, found.example == "line"
    record = {"example": found.example, "notes": list(found.notes), "examples": _examples(groups)}
    return Labelled(groups, name, whole, (*found.notes, *_examples(groups)), record, lines)


def _table(config: DataConfig, source: sources.Source, before: Mapping[str, Any]) -> Labelled:
    """Sequences by label from a table; `before`: how the run has read it, which holds."""
    named = tuple(filter(None, (config.text_column, config.label_column)))
    dialect = Dialect.from_json(before["dialect"]) if "dialect" in before else None
    table = tables.read(source.data, source.name, sources.given(config, named), dialect)
    text, label = (str(before.get(key) or getattr(config, key)) for key in ("text_column", "label_column"))
    choice = columns.choose(table, text, label)
    groups, unlabelled = _grouped(table, choice)
    why = str(before.get("why", choice.why))
    notes = [f"{source.name}: {table.told}", why, *_examples(groups)]
    if unlabelled:
        notes.append(f"{unlabelled:,} rows without a label left out")
    notes += table.notes
    record = {
        "dialect": table.dialect.to_json(),
        "encoding": table.encoding.name,
        "rows": len(table),
        "text_column": table.names[choice.text],
        "label_column": table.names[choice.label],
        "why": why,
        "notes": notes,
        "examples": _examples(groups),
    }
    return Labelled(groups, source.name, source, tuple(notes), record)


def _grouped(table: tables.Table, choice: columns.Choice) -> tuple[dict[str, list[str]], int]:
    """Sequences by label, and how many rows have none; raises DataError where these are many."""
    groups: dict[str, list[str]] = {}
    unlabelled = []
    for row, (text, label) in enumerate(zip(table.cells(choice.text), table.cells(choice.label), strict=True)):
        if label.strip():
            groups.setdefault(label.strip(), []).append(text)
        else:
            unlabelled.append(row)
    if len(unlabelled) > MOST_UNLABELLED * len(table):
        name = one_line(table.names[choice.label], 60)
        raise DataError(
            f"{table.name}, line {table.line(unlabelled[0])}: no label in column '{name}', as in {len(unlabelled):,} "
            f"of {len(table):,} rows; fill them in, remove them, or choose another one with --label-column"
        )
    return groups, len(unlabelled)


def _examples(groups: Mapping[str, list[str]]) -> list[str]:
    """A sequence of each of the first classes, three of the only one."""
    filled = {label: [text.strip() for text in texts[:MORE] if text.strip()] for label, texts in groups.items()}
    first = [(label, texts[0]) for label, texts in filled.items() if texts]
    more = [(label, text) for label, texts in filled.items() for text in texts[1:]]
    return [f"{one_line(label, 30)} ← {one_line(text, EXAMPLE_LENGTH)}" for label, text in [*first, *more][:EXAMPLES]]


# ── runs that were made before this was kept ──────────────────────────────────


def _former(config: DataConfig, files: list[tuple[str, bytes]], whole: sources.Source) -> Labelled:
    """Read as those runs did: UTF-8, a header always, the last column for labels, one file for each name."""
    if len(files) == 1:
        source = sources.Source(*files[0])
        table = tables.read(source.data, source.name, None, former(source.data, header=True))
        head = table.names
        label = config.label_column or next((c for c in head if c.strip().lower() in ("label", "class")), head[-1])
        text = config.text_column or next((c for c in head if c != label), "")
        groups, _ = _grouped(table, columns.Choice(table.position(text), table.position(label), ""))
        return Labelled(groups, source.name, source, (), {})
    texts = [(label, data) for label, data in files if label.endswith(".txt")] or files
    texts = [(label, data) for label, data in texts if data.strip()]
    groups = {Path(label).stem: sources.Source(label, data).text().splitlines() for label, data in texts}
    return Labelled(groups, whole.name, whole, (), {}, lines=True)
