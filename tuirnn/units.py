"""What hidden units do: features of a text by character, and the units whose activation follows them.

numpy only. Legend of shapes: T characters, H units.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

QUOTES = "\"“”„«»'‘’"
VOWELS = "aeiouyäöüáéíóúàèìòùâêîôû"


def _quotes(text: str) -> Floats:
    """1 from an opening quotation mark on, 0 from the closing one; single ones count where no letter is before them."""
    inside, values = False, []
    for before, character in zip(" " + text, text + " ", strict=True):
        if character == "\n" and before == "\n":
            inside = False
        elif character in "“„«" or (character in "'‘" and not before.isalnum()):
            inside = True
        elif character in "”»" or (character in "'’" and inside and not before.isspace()):
            inside = False
        elif character == '"':
            inside = not inside
        values.append(float(inside))
    return np.array(values[:-1])


def _line_position(text: str) -> Floats:
    """Characters since the last newline, at most 80."""
    values, at = [], 0
    for character in text:
        at = 0 if character == "\n" else at + 1
        values.append(min(at, 80))
    return np.array(values, np.float64)


def _word_position(text: str) -> Floats:
    """Letters since the word began, at most 12."""
    values, at = [], 0
    for character in text:
        at = at + 1 if character.isalnum() else 0
        values.append(min(at, 12))
    return np.array(values, np.float64)


def _each(test: Callable[[str], bool]) -> Callable[[str], Floats]:
    return lambda text: np.array([test(character) for character in text], np.float64)


def _ahead(test: Callable[[str], bool]) -> Callable[[str], Floats]:
    """Whether the next character is such a one."""
    return lambda text: np.array([test(character) for character in text[1:] + " "], np.float64)


FEATURES: dict[str, Callable[[str], Floats]] = {
    "inside quotes": _quotes,
    "line ends": _each(lambda ch: ch == "\n"),
    "a line end is next": _ahead(lambda ch: ch == "\n"),
    "capitals": _each(str.isupper),
    "position in line": _line_position,
    "position in word": _word_position,
    "a word ends": _ahead(lambda ch: not ch.isalnum()),
    "blanks": _each(lambda ch: ch == " "),
    "vowels": _each(lambda ch: ch.casefold() in VOWELS),
    "digits": _each(str.isdigit),
    "punctuation": _each(lambda ch: not ch.isalnum() and not ch.isspace()),
}
"""Name -> the feature's value after each character of a text, [T]. A further one is a line here."""


@dataclass(frozen=True)
class Follower:
    """A unit that follows a feature: Pearson's r over the passage, negative where it does the opposite."""

    unit: int
    r: float


def followers(states: npt.NDArray[np.floating], text: str) -> dict[str, list[Follower]]:
    """All units for each feature that the text has, those that follow it most closely first; so too the features.

    Args:
        states: activation after each character, [T, H].
        text: the passage, T characters.
    """
    return correlated(states, text_features(text)) if text else {}


def text_features(text: str) -> dict[str, Floats]:
    """The values of all features of a text [T]."""
    return {name: feature(text) for name, feature in FEATURES.items()}


def correlated(states: npt.NDArray[np.floating], features: Mapping[str, Floats]) -> dict[str, list[Follower]]:
    """As `followers`, for features [T] of any passage; those that are the same throughout are left out."""
    units = _standard(states.astype(np.float64))
    found: dict[str, list[Follower]] = {}
    for name, whole in features.items():
        values = whole[: len(units)]
        if not len(values) or values.std() == 0:
            continue
        r = _standard(values[:, None])[:, 0] @ units / len(values)
        order = np.argsort(-np.abs(r), kind="stable")
        found[name] = [Follower(int(unit), float(r[unit])) for unit in order]
    return dict(sorted(found.items(), key=lambda item: -abs(item[1][0].r)))


def _standard(values: Floats) -> Floats:
    """Each column with mean 0 and variance 1; a constant one as zeros."""
    centred = values - values.mean(0)
    spread = centred.std(0)
    result: Floats = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9)
    return result
