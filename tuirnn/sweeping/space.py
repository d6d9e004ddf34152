"""What the values of a setting are drawn from: values with commas, or a range.

    VALUES = A,B,…                     any setting with numbers, choices, or true and false
    RANGE  = [log:]LOW..HIGH[:STEP]    numbers alone; log: equal ratios are equally likely

LOW and HIGH belong to the range. A range of whole numbers without STEP has all of them; one of other numbers has no
list of values and is for a search alone. `log:` and STEP exclude each other.
"""

import math
import random
from dataclasses import dataclass
from typing import Any

from tuirnn.config import FIELDS, checked
from tuirnn.errors import ConfigError, one_line
from tuirnn.settings.section import flag_of

WORDS = {"true": True, "false": False}
DOTS, LOG = "..", "log:"

DIGITS = 4
"""Significant digits of a drawn number, so that tables and command lines show it as it is."""

GRAMMAR = "LOW..HIGH, LOW..HIGH:STEP or log:LOW..HIGH"


@dataclass(frozen=True)
class Choices:
    """Some values."""

    values: tuple[Any, ...]

    def draw(self, generator: random.Random) -> Any:
        """One of them."""
        return self.values[int(generator.random() * len(self.values))]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low, high: whole numbers where the setting takes them.
        step: between neighbouring values; 0: any number between is a value.
        log: whether equal ratios, instead of equal differences, are equally likely.
    """

    low: float
    high: float
    step: float = 0
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int)

    @property
    def values(self) -> tuple[Any, ...]:
        """All of them; none where there is no step between them."""
        if not self.step:
            return ()
        count = round((self.high - self.low) / self.step) + 1
        if self.whole:
            return tuple(self.low + number * self.step for number in range(count))
        return tuple(min(self.high, self.rounded(self.low + number * self.step, 12)) for number in range(count))

    def draw(self, generator: random.Random) -> Any:
        """One of its values."""
        share = generator.random()
        if self.step:
            count = round((self.high - self.low) / self.step) + 1
            value = self.low + int(share * count) * self.step
            return value if self.whole else min(self.high, self.rounded(value, 12))
        if self.log:
            return self.rounded(self.low * (self.high / self.low) ** share)
        return self.rounded(self.low + (self.high - self.low) * share)

    def rounded(self, value: float, digits: int = DIGITS) -> Any:
        """`value` as a run takes it: a whole number, or so many significant digits, within the range."""
        near = round(value) if self.whole else float(f"{value:.{digits}g}")
        return min(self.high, max(self.low, near))


Axis = Choices | Range


def parse(name: str, text: str) -> Axis:
    """The values of one setting, as an option gives them; a free text such as `classes` is one value, commas and all.

    Raises:
        ConfigError: not in the grammar, or a value that the setting refuses.
    """
    kind: Any = FIELDS[name][1].type
    if kind in (int, float) and (DOTS in text or text.strip().startswith(LOG)):
        return _range(name, text.strip(), kind)
    pieces = [text] if kind is str and not FIELDS[name][1].metadata["choices"] else text.split(",")
    try:
        found = [WORDS[piece.strip().lower()] if kind is bool else kind(piece.strip()) for piece in pieces]
    except (ValueError, KeyError):
        wanted = {bool: "true and false", int: "whole numbers", float: "numbers"}[kind]
        ranges = f", or {GRAMMAR}" if kind is not bool else ""
        raise ConfigError(
            f"{flag_of(name)} takes {wanted} with commas between{ranges}, not '{one_line(text, 60)}'"
        ) from None
    return Choices(tuple(checked(name, value) for value in found))


def _range(name: str, text: str, kind: Any) -> Range:
    said = f"{flag_of(name)} '{one_line(text, 60)}'"
    log = text.startswith(LOG)
    low_text, _, rest = text.removeprefix(LOG).partition(DOTS)
    high_text, colon, step_text = rest.partition(":")
    try:
        low, high = (checked(name, kind(one)) for one in (low_text, high_text))
        step = kind(step_text) if colon else 0
    except ValueError:
        numbers = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"{said} is no range of {numbers}: give {GRAMMAR}") from None
    if not low < high:
        raise ConfigError(f"{said} begins at {low:g} and must end above it, not at {high:g}")
    if log and colon:
        raise ConfigError(f"{said}: a range by ratios has no step; leave out '{LOG}' or ':{one_line(step_text, 20)}'")
    if log and low <= 0:
        raise ConfigError(f"{said}: ratios need a beginning above 0, not {low:g}")
    if colon:
        _check_step(said, low, high, step)
    return Range(low, high, step if colon else int(kind is int and not log), log)


def _check_step(said: str, low: float, high: float, step: float) -> None:
    if not (math.isfinite(step) and 0 < step <= high - low):
        raise ConfigError(f"{said}: the step must be above 0 and at most {high - low:g}, not {step:g}")
    count = (high - low) / step
    if abs(count - round(count)) > 1e-9 * max(1.0, count):
        below = low + math.floor(count) * step
        raise ConfigError(f"{said}: steps of {step:g} from {low:g} reach {below:g} and {below + step:g}, not {high:g}")


def listed(name: str, axis: Axis) -> list[Any]:
    """All values of an axis, for a grid.

    Raises:
        ConfigError: a range without steps.
    """
    if not axis.values:
        raise ConfigError(
            f"{flag_of(name)} is a range without steps, which a grid cannot list; give a step (LOW..HIGH:STEP) or the "
            "number of runs to draw (--trials N)"
        )
    return list(axis.values)
