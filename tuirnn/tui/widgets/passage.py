"""What stands below a map of units: the passage that was read, and the cell's answers to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tuirnn.text import figure, visible_line

if TYPE_CHECKING:
    from tuirnn.runtime.inside import Inside
    from tuirnn.tui.widgets.heat import Values

MOST_LINES, MOST_CLASSES = 4, 3
"""Lines below a map, and classes that are named in words."""

LABEL, LONGEST = 10, 16
"""Width of the label of a unit, and the longest name of a class or column."""

WIDEST = 3
"""Cells of a letter at most."""

READ = 12
"""Characters of what has been read that are repeated."""

TICK = 25
"""Points between two numbers below a series."""


def walks(inside: Inside) -> bool:
    """Whether the passage consists of sequences, which are walked letter by letter."""
    return bool(inside.truths)


def short(name: str) -> str:
    """A name for a label."""
    shown = visible_line(name)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def lines_of(inside: Inside, part: slice) -> list[tuple[str, Values]]:
    """Lines below a part of the passage: the likeliest classes at its end, or the columns of a series."""
    if walks(inside):
        answers = inside.answers[part]
        order = np.argsort(-answers.max(0), kind="stable")[:MOST_LINES]
        return [(short(inside.classes[k]), answers[:, k]) for k in sorted(order.tolist())]
    found: list[tuple[str, Values]] = []
    for column in range(min(len(inside.columns), MOST_LINES)):
        values = inside.points[:, column]
        low, high = np.nanmin(values), np.nanmax(values)
        found.append((short(inside.columns[column]), (values[part] - low) / ((high - low) or 1.0)))
    return found


def symbols_of(inside: Inside, part: slice) -> tuple[str, ...]:
    """The symbols of a part of the passage; of a series every 25th point has its number."""
    if not inside.columns:
        return inside.symbols[part]
    axis = [" "] * (part.stop - part.start)
    for at in range(len(axis)):
        t = part.start + at
        if t % TICK == 0 and at + len(inside.symbols[t]) + 1 <= len(axis):
            axis[at : at + len(inside.symbols[t])] = inside.symbols[t]
    return tuple(axis)


def told_at(inside: Inside, t: int) -> list[str]:
    """The cell's answer after token `t` of a sequence, in words."""
    number, first, end = inside.sequence_at(t)
    order = np.argsort(-inside.answers[t], kind="stable")[:MOST_CLASSES]
    said = [f"{short(inside.classes[k])} {inside.answers[t, k]:.2f}".replace(" 0.", " .") for k in order]
    read = visible_line("".join(inside.symbols[first : t + 1]))
    begin = f"…{read[-READ:]}" if len(read) > READ else read
    truth = inside.truths[number]
    last = int(inside.answers[end - 1].argmax())
    right = f"{'✓' if inside.classes[last] == truth else '✕'} is {short(truth)}" if truth else ""
    return [f"‘{begin}’ {said[0]}", right, f"{number + 1} of {len(inside.starts)}", *said[1:]]


def values_at(inside: Inside, part: slice) -> list[str]:
    """What a part of a series is."""
    names = [f"{short(name)} {figure(inside.points[part.start, f])}" for f, name in enumerate(inside.columns[:2])]
    return [f"points {inside.symbols[part.start]} … {inside.symbols[part.stop - 1]}", *names]
