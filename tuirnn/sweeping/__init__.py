"""Sweeps: many runs of one training with different settings, each in a run directory of its own.

A plan says which runs there are (`points`, `plans`, `study`), an engine trains them (`engines`, `on_ray`), `loop` joins
the two, `results` reads what came of it. No plan knows an engine and no engine a plan.
"""

from tuirnn.sweeping.loop import train
from tuirnn.sweeping.points import Point, grid, is_done
from tuirnn.sweeping.results import figure, markdown, over_seeds, table

__all__ = ["Point", "figure", "grid", "is_done", "markdown", "over_seeds", "table", "train"]
