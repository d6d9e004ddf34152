"""How the cursor of a text moves, by name of the command."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuirnn.runtime.timeline import Timeline


def number(value: object) -> int:
    """The argument of a command; 1 if there is none."""
    return value if isinstance(value, int) else 1


def back(line: "Timeline", characters: object) -> None:
    """Move the cursor back by at least so many characters."""
    line.go_to(line.before(line.characters - number(characters)))


def forward(line: "Timeline", characters: object) -> None:
    """Move the cursor forward by at least so many characters."""
    line.go_to(line.after(line.characters + number(characters)))


def at(line: "Timeline", characters: object) -> None:
    """Move the cursor to the token that contains the place after so many characters."""
    line.go_to(line.before(number(characters)))


def back_line(line: "Timeline", _: object) -> None:
    """Move the cursor to the beginning of this line, or of the previous one."""
    at(line, line.branch.text.rfind("\n", 0, max(line.characters - 1, 0)) + 1)


def forward_line(line: "Timeline", _: object) -> None:
    """Move the cursor to the beginning of the next line, or to the end."""
    end = line.branch.text.find("\n", line.characters) + 1
    line.go_to(line.after(end) if end else len(line))


def back_all(line: "Timeline", _: object) -> None:
    """Move the cursor to the beginning."""
    line.go_to(0)


def forward_all(line: "Timeline", _: object) -> None:
    """Move the cursor to the end."""
    line.go_to(len(line))


MOVES: dict[str, Callable[["Timeline", object], None]] = {
    "back": back,
    "forward": forward,
    "at": at,
    "back_line": back_line,
    "forward_line": forward_line,
    "back_all": back_all,
    "forward_all": forward_all,
}
"""'back', 'forward' and 'at' take a number of characters."""
