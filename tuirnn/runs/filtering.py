"""Choosing runs by a line of words: parts of names, tags, conditions on settings such as 'lr>0.001' or 'cell=gru'."""

import operator
import re
from collections.abc import Callable
from typing import Any

from tuirnn.config import FIELDS
from tuirnn.runs.listing import RunSummary

_CONDITION = re.compile(r"([a-z_-]+)(<=|>=|!=|<|>|=)(.+)", re.IGNORECASE)

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip

OTHERS: dict[str, Callable[[RunSummary], Any]] = {
    "step": lambda run: run.status.step,
    "val": lambda run: run.status.best_val_loss if run.status.best_step else None,
    "state": lambda run: run.status.state,
    "parameters": lambda run: run.record.parameters if run.record else None,
}
"""What a condition can be about beside the settings."""


def matches(run: RunSummary, line: str) -> bool:
    """Whether a run has every word of a line: in its name, cell, data, state, tags or note, or as a condition.

    Args:
        run: a run.
        line: words; '#night' is a whole tag, 'hidden>=128' and 'cell=gru' are conditions on settings.
    """
    return all(_has(run, word) for word in line.casefold().split())


def _has(run: RunSummary, word: str) -> bool:
    if word.startswith("#") and len(word) > 1:
        return any(tag.casefold().startswith(word[1:]) for tag in run.notes.tags)
    found = _CONDITION.fullmatch(word)
    name = found[1].replace("-", "_") if found else ""
    if found and (name in FIELDS or name in OTHERS):
        return _holds(_value(run, name), found[2], found[3])
    return word in _searched(run)


def _value(run: RunSummary, name: str) -> Any:
    if name in OTHERS:
        return OTHERS[name](run)
    return run.record.config.flat()[name] if run.record else None


def _holds(value: Any, sign: str, word: str) -> bool:
    """Whether a condition holds: numbers as numbers, all else as words."""
    if value is None:
        return False
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return _COMPARED[sign](float(value), float(word))
        except ValueError:
            return False
    shown = str(value).casefold()
    if sign in ("=", "!="):
        return (word in shown) == (sign == "=") if isinstance(value, tuple) else _COMPARED[sign](shown, word)
    return False


def _searched(run: RunSummary) -> str:
    """Where a plain word is looked for."""
    data = str(run.record.data.get("name", "")) if run.record else ""
    return f"{run.name} {run.cell} {data} {run.status.state} {' '.join(run.notes.tags)} {run.notes.note}".casefold()
