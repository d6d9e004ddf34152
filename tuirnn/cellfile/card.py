"""The model card: what its maker says of a network, for people; nothing computes with it."""

from collections.abc import Iterable
from typing import Any

from tuirnn.errors import CellFileError, ConfigError, nearest, one_line
from tuirnn.files import parse_json

PARTS = ("description", "author", "licence", "data", "date")
LONGEST = 2_000
"""Characters of a part."""

FIGURES = "figures"
"""Part that the exporter adds: held-out loss, its unit, training step, parameters."""

Card = dict[str, Any]
"""Part -> text; and the figures, name -> number or text."""


def card_of(said: Iterable[str]) -> Card:
    """The card of options KEY=TEXT.

    Raises:
        ConfigError: another key, the same one twice, or a text that is empty or too long.
    """
    card: Card = {}
    for each in said:
        key, equals, text = each.partition("=")
        if not equals or key not in PARTS:
            raise ConfigError(f"--card takes KEY=TEXT with a KEY of {', '.join(PARTS)}, not '{one_line(each, 60)}'; "
                              f"{nearest(key, PARTS)}")  # fmt: skip
        if key in card:
            raise ConfigError(f"--card says {key} twice; give it once")
        if not 1 <= len(text) <= LONGEST:
            raise ConfigError(f"--card {key}= takes 1 to {LONGEST:,} characters, not {len(text):,}")
        card[key] = text
    return card


def read_card(text: str | None) -> Card:
    """The card of a file; empty where it has none.

    Raises:
        CellFileError: it is damaged.
    """
    value = parse_json((text or "{}").encode(), "card", CellFileError)
    figures = value.get(FIGURES, {}) if isinstance(value, dict) else None
    if not (
        isinstance(value, dict)
        and isinstance(figures, dict)
        and value.keys() <= {*PARTS, FIGURES}
        and len(figures) <= 32
        and all(isinstance(value[key], str) and len(value[key]) <= LONGEST for key in value if key != FIGURES)
        and all(type(each) in (int, float, str) and len(str(each)) <= LONGEST for each in figures.values())
    ):
        raise CellFileError("its card is damaged")
    return value
