"""A network's answers to held-out data as an evaluation records them: sequences with their classes, a forecast."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.runs.reader import as_number

Floats = npt.NDArray[np.float64]

MOST_ANSWERS, MOST_COLUMNS, MOST_POINTS = 200, 64, 4_000
"""What is read of a record at most: more than any screen has."""

BESIDE = ("step", "kind", "columns", "history", "truth", "widths", "times")
"""What a record of a forecast holds beside the forecast itself."""

LONGEST, LONGEST_TIME = 2_000, 24
"""Characters of a sequence, and of a time."""


@dataclass(frozen=True)
class Answer:
    """A network's answer to a held-out sequence.

    Attributes:
        text: of the sequence; '' where `guess` and `truth` contain it, with what was found marked.
        guess, truth: the class that the network names, and the right one.
        p: probability of the guess; NaN if it is not known.
    """

    text: str
    guess: str
    truth: str
    p: float

    @property
    def right(self) -> bool:
        """Whether the guess is right."""
        return self.guess == self.truth


@dataclass(frozen=True)
class Answers:
    """Some answers, and the number of sequences that the evaluation judged in all; 0 if that is not known."""

    rows: tuple[Answer, ...]
    judged: int = 0


@dataclass(frozen=True, eq=False)  # arrays are not compared
class Outlook:
    """A recorded forecast with the series before and after its start, in the data's own units.

    Attributes:
        columns: names of the F columns.
        history: points before the start [n, F].
        truth, forecast: points from the start on [H, F].
        widths: half of the intervals' widths [H, F]; NaN if there is no interval.
        times: of the points of `history` and of `forecast`, for people; empty where they are not known.
    """

    columns: tuple[str, ...]
    history: Floats
    truth: Floats
    forecast: Floats
    widths: Floats
    times: tuple[str, ...] = ()


def answers_in(record: dict[str, Any]) -> Answers | None:
    """The answers in a record of `samples.jsonl`; None if the record is damaged."""
    rows = record.get("rows")
    if not isinstance(rows, list):
        return None
    found = []
    for row in rows[:MOST_ANSWERS]:
        if not (isinstance(row, list) and len(row) == 4 and all(isinstance(part, str) for part in row[:3])):
            return None
        text, guess, truth = (part[:LONGEST] for part in row[:3])
        found.append(Answer(text, guess, truth, as_number(row[3])))
    judged = as_number(record.get("judged"))
    return Answers(tuple(found), int(judged) if 0 < judged < 1e15 else 0)


def outlook_in(record: dict[str, Any]) -> Outlook | None:
    """The forecast in a record of `samples.jsonl`; None if it holds none, or is damaged."""
    columns = record.get("columns")
    if not (isinstance(columns, list) and columns and all(isinstance(name, str) for name in columns)):
        return None
    names = tuple(columns[:MOST_COLUMNS])
    ahead: object = next((value for key, value in record.items() if key not in BESIDE), [])
    values = (record.get("history", []), record.get("truth", []), ahead, record.get("widths", []))
    parts = [_points(value, len(names)) for value in values]
    history, truth, forecast, widths = (part if part is not None else np.zeros((0, 0)) for part in parts)
    if any(part is None for part in parts) or not len(forecast):
        return None
    if len(widths) != len(forecast):  # logs of earlier versions have none
        widths = np.full(forecast.shape, np.nan)
    return Outlook(names, history, truth, forecast, widths, _times(record.get("times"), len(history) + len(forecast)))


def _times(value: object, count: int) -> tuple[str, ...]:
    """So many times; none if a record holds something else."""
    if not (isinstance(value, list) and len(value) == count and all(isinstance(time, str) for time in value)):
        return ()
    return tuple(time[:LONGEST_TIME] for time in value)


def _points(value: object, F: int) -> Floats | None:
    """A list of points as [n, F]; None if it is something else. Values that are not numbers become NaN."""
    if not isinstance(value, list):
        return None
    rows: Sequence[object] = value[:MOST_POINTS]
    if not all(isinstance(row, list) and len(row) >= F for row in rows):
        return None
    numbers = [[as_number(x) for x in row[:F]] for row in rows if isinstance(row, list)]
    return np.array(numbers, np.float64).reshape(len(numbers), F)
