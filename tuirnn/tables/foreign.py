"""Files that are no text and no table, told by how they begin, and what to do with each."""

import json

BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it with gunzip"),
    (b"BZh", "compressed by bzip2", "unpack it with bunzip2"),
    (b"\xfd7zXZ\0", "compressed by xz", "unpack it with unxz"),
    (b"(\xb5/\xfd", "compressed by zstd", "unpack it with unzstd"),
    (b"PK\x03\x04", "a zip archive, as spreadsheets such as .xlsx are too", "unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Office file", "save the sheet as CSV"),
    (b"PAR1", "a Parquet file", "write it as CSV, in pandas with read_parquet(...).to_csv(..., index=False)"),
    (b"ARROW1", "a Feather file", "write it as CSV, in pandas with read_feather(...).to_csv(..., index=False)"),
    (b"\x89HDF", "an HDF5 file", "write it as CSV, in pandas with read_hdf(...).to_csv(...)"),
    (b"SQLite format 3", "a SQLite database", "write a table of it as CSV"),
    (b"%PDF-", "a PDF document", "save its text or table in a file of its own"),
)
"""How files of other kinds begin, what they are, and what to do."""

HEAD = 4096
"""Bytes at the beginning of which some are not those of a text."""


def binary(data: bytes) -> str:
    """What a file of a known kind is, and what to do; empty for others, and for texts that begin so."""
    if data[:HEAD].isascii() and b"\0" not in data[:HEAD]:
        return ""
    return next((f"is {what}; {todo}" for begin, what, todo in BEGINNINGS if data.startswith(begin)), "")


def no_table(text: str) -> str:
    """What the beginning of a text is that is no table, and what to do; empty for others.

    Args:
        text: whole lines from its beginning.
    """
    start = text.lstrip()
    if start[:200].lower().startswith(("<!doctype html", "<html")):
        return "is a web page; download the file itself, not the page that shows it"
    if start.startswith("version https://git-lfs"):
        return "is a pointer of Git LFS; fetch the file itself with 'git lfs pull'"
    if start.startswith("{\\rtf"):
        return "is a document in RTF; save it as plain text"
    line = start.split("\n", 1)[0].strip()
    if line.startswith("{") and _is_json(line):
        return "is JSON, an object in each line; write it as CSV, in pandas with read_json(..., lines=True).to_csv(...)"
    if start.startswith(("[{", "[\n", "[ ", "{\n")) and '"' in start[:200] and ":" in start[:200]:
        return "is JSON; write it as CSV, in pandas with read_json(...).to_csv(..., index=False)"
    return ""


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
