"""Computing what the roll-out chart of a forecaster shows."""

import dataclasses
from pathlib import Path

import numpy as np

from tuirnn.tui.views import HISTORY, STEPS, RolledOut


def roll_out(name: str, folder: Path) -> RolledOut:
    """Forecast from the start of a run's held-out part, in closed loop. Slow: for a thread.

    Args:
        name: of the run.
        folder: of runs.
    Raises:
        TuirnnError: there is no checkpoint, or the data are missing.
    """
    from tuirnn.loading.cell import load_cell
    from tuirnn.runtime.data import measured_on
    from tuirnn.runtime.opened import opened

    cell = load_cell(name, folder)
    meta, ready = cell.metadata, opened(cell, name)
    found = meta.learned.histories(ready, measured_on(name, folder, meta, None))[0]
    history, truth = found.values[: found.first], found.values[found.first :]
    before = dataclasses.replace(
        found,
        values=history,
        clock=found.clock.part(0, found.first) if found.clock else None,
        calendar=None if found.calendar is None else found.calendar[: found.first],
    )
    layers = f"×{meta.layers}" if meta.layers > 1 else ""
    assert meta.scaling is not None
    made = meta.learned.go_on(ready, before, STEPS)
    return RolledOut(
        meta.scaling.columns,
        f"{meta.cell.upper()} {meta.hidden}{layers} · {found.what}",
        max(found.first - HISTORY, 0),
        np.asarray(history[-HISTORY:], np.float64),
        np.asarray(truth[:STEPS], np.float64),
        np.asarray(made.points, np.float64),
        made.low,
        made.high,
        tuple(before.clock.labels(min(HISTORY, found.first), STEPS)) if before.clock else (),
    )
