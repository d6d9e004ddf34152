"""Strings of a run inside files that other programs read: never markup, never a formula."""

import csv
import re
from collections.abc import Sequence
from typing import Any

from tuirnn.errors import one_line

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula; the wide ones some versions do."""

_NUMBERS = ("NaN", "Infinity", "-Infinity")
"""How JSON's strings write the numbers that JSON lacks."""

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
_MARKUP = re.compile(r"[\\`*\[\]|~$!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown does not show as it is; an underscore inside a word it does."""


def for_markdown(text: object, limit: int = 80) -> str:
    """`text` as one line of Markdown that shows it as it is: no HTML, no link, no picture, no end of a table's cell."""
    shown = "".join(_ENTITIES.get(ch, ch) for ch in one_line(text, limit))
    shown = _MARKUP.sub(r"\\\g<0>", shown)
    unlinked = re.sub("www[.]", lambda found: found[0].replace(".", "&#46;"), shown, flags=re.IGNORECASE)
    return unlinked.replace("://", ":&#47;&#47;")  # or GitHub makes links of them


def for_csv(value: Any, limit: int = 200) -> Any:
    """`value` as a cell, or a heading, of a CSV file: numbers as they are, a text as one line, never as a formula."""
    if isinstance(value, (int, float)) or value in _NUMBERS:
        return value
    raw = str(value)
    return ("'" if raw.startswith(_FORMULA) else "") + one_line(raw, limit)


def split_names(text: str) -> tuple[str, ...]:
    """Names with commas between; one that holds a comma itself stands in double quotes, as in a CSV file."""
    row = next(csv.reader([text.replace("\n", " ")], skipinitialspace=True), [])
    return tuple(name.strip() for name in row if name.strip())


def join_names(names: Sequence[str]) -> str:
    """Names as `split_names` reads them."""
    return ",".join(f'"{name.replace(chr(34), 2 * chr(34))}"' if "," in name or '"' in name else name for name in names)


def heading_from_csv(text: str) -> str:
    """A column's name, from a heading that `for_csv` may have written."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
