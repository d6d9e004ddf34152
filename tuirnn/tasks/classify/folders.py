"""Labelled sequences in files: a file a class with a sequence a line, or a folder a class with a document a file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from tuirnn.errors import DataError, one_line
from tuirnn.tables.encodings import decode

ENDINGS = (".txt", ".md", ".text")
"""Of files with sequences, in any case; where there are any, files with other endings are left out."""

ABOUT = frozenset(("readme", "license", "licence", "notice", "copying", "changelog", "contributing", "authors"))
"""Files that are about the others."""

FEW_FILES, MANY_LINES = 10, 3
"""A class of fewer files with more lines each has a sequence a line."""

SHOWN = 5


@dataclass(frozen=True)
class Groups:
    """Sequences by class.

    Attributes:
        groups: in the order of the files.
        notes: what was understood, joined and left out.
        example: what a sequence was: 'file' or 'line'.
    """

    groups: dict[str, list[str]]
    notes: tuple[str, ...]
    example: str


def read(files: Sequence[tuple[str, bytes]], name: str, encoding: str, example: str) -> Groups:
    """Sequences from the files of a folder.

    Args:
        files: each with its path inside the folder.
        name: of the folder, for people.
        encoding: of all files; empty: found out file by file.
        example: 'file', 'line' or 'auto'; see the settings.
    Raises:
        DataError: a file that cannot be read as text.
    """
    kept, notes = _texts(files)
    deep = [(label, data) for label, data in kept if len(PurePath(label).parts) > 1]
    if deep and len(deep) < len(kept):
        outside = [label for label, _ in kept if len(PurePath(label).parts) == 1]
        notes.append(f"{_few(outside)} left out: not in the folder of a class")
        kept = deep
    texts = []
    for label, data in kept:
        text, found, said = decode(data, label, encoding)
        notes += [f"{label}: {found.told}"] * bool(found.told) + said
        texts.append((label, text))
    if not deep:
        return _of_files(texts, name, notes)
    return _of_folders(texts, name, notes, example)


def _texts(files: Sequence[tuple[str, bytes]]) -> tuple[list[tuple[str, bytes]], list[str]]:
    """The files that hold sequences, and what was left out."""
    notes = []
    about = [
        label for label, _ in files if PurePath(label).stem.casefold() in ABOUT and len(PurePath(label).parts) == 1
    ]
    rest = [(label, data) for label, data in files if label not in about] or list(files)
    kept = [(label, data) for label, data in rest if PurePath(label).suffix.casefold() in ENDINGS] or rest
    if left_out := [label for label, _ in files if label not in {label for label, _ in kept}]:
        notes.append(f"{_few(left_out)} left out: a class's files end in {', '.join(ENDINGS)}")
    return kept, notes


def _of_files(texts: Sequence[tuple[str, str]], name: str, notes: list[str]) -> Groups:
    """A file a class; files of one name but for their ending are one class."""
    groups: dict[str, list[str]] = {}
    for label, text in texts:
        groups.setdefault(PurePath(label).stem, []).extend(text.splitlines())
    stems = Counter(PurePath(label).stem for label, _ in texts)
    joined = [
        f"{_few([label for label, _ in texts if PurePath(label).stem == stem])} are one class, '{one_line(stem, 60)}'"
        for stem, count in stems.items()
        if count > 1
    ]
    told = f"{name}: {len(texts):,} files, one class per file, one sequence per line"
    return Groups(groups, (told, *joined, *notes), "line")


def _of_folders(texts: Sequence[tuple[str, str]], name: str, notes: list[str], example: str) -> Groups:
    """A folder a class, named by the innermost one; folders of one name are one class."""
    by_class: dict[str, list[str]] = {}
    for label, text in texts:
        by_class.setdefault(PurePath(label).parts[-2], []).append(text)
    lines = sum(len([line for line in text.splitlines() if line.strip()]) for _, text in texts)
    few = len(texts) < FEW_FILES * len(by_class) and lines > MANY_LINES * len(texts)
    each = example if example != "auto" else "line" if few else "file"
    if each == "line":
        by_class = {label: [line for text in found for line in text.splitlines()] for label, found in by_class.items()}
    folders = {str(PurePath(label).parent) for label, _ in texts}
    told = f"{name}: {len(texts):,} files in {len(folders):,} folders, one class per folder, one sequence per {each}"
    if example == "auto":
        told += (
            f" ({lines / len(texts):.3g} lines per file; --example {'file' if each == 'line' else 'line'} reads it so)"
        )
    joined = []
    for label in by_class:
        same = sorted(folder for folder in folders if PurePath(folder).name == label)
        if len(same) > 1:
            joined.append(f"{_few(same)} are one class, '{one_line(label, 60)}'")
    return Groups(by_class, (told, *joined, *notes), each)


def _few(names: Sequence[str]) -> str:
    """Some names and how many more."""
    shown = ", ".join(one_line(name, 60) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def refuse_one_class(groups: Groups, name: str) -> None:
    """Raise DataError where all sequences are of one class."""
    if len(groups.groups) < 2:
        raise DataError(
            f"{name} has one class, '{one_line(next(iter(groups.groups), ''), 60)}'; a classifier learns from a folder "
            "with a file, or a folder, for each class"
        )
