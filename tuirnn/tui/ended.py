"""What is said when runs end while the dashboard is open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuirnn import text

if TYPE_CHECKING:
    from tuirnn.runs.listing import RunSummary

DESKTOP = "\x1b]9;{}\x1b\\"
"""Asks the terminal for a notice of the desktop (OSC 9: iTerm2, kitty, WezTerm, Windows Terminal); others ignore it."""


def ended(before: Sequence[RunSummary], now: Sequence[RunSummary]) -> list[str]:
    """A line for each run that was at work and is no more."""
    live = {run.name for run in before if run.status.live}
    return [_line(run) for run in now if run.name in live and not run.status.live]


def _line(run: RunSummary) -> str:
    status, unit = run.status, run.judgement.loss.unit
    best = f": best {text.held_out(status.best_val_loss, run.leaky)} {unit} at step {text.count(status.best_step)}"
    why = f": {status.message}" if status.message else ""
    return text.visible_line(f"{run.name} is {status.state}{best if status.best_step else why}")
