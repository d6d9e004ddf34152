"""tuirnn: a laboratory for recurrent networks, in the terminal and from Python.

Everything that `import tuirnn` offers is imported when it is first used: the import itself loads no library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuirnn import nn as nn
    from tuirnn.api.cell import Cell
    from tuirnn.api.cells import Classifier, Forecaster, Tagger, TextCell
    from tuirnn.api.loading import load
    from tuirnn.api.runs import Metrics, Run, runs
    from tuirnn.api.training import Training, events, train

__version__ = "0.2.0"

HOMES = {
    "train": "training", "events": "training", "Training": "training", "Run": "runs", "Metrics": "runs",
    "load": "loading", "Cell": "cell", "TextCell": "cells", "Classifier": "cells", "Tagger": "cells",
    "Forecaster": "cells",
}  # fmt: skip
"""Name -> the module of `tuirnn.api` that has it."""

MODULES = ("nn", "runs")
"""Parts of the interface that are modules; `tuirnn.runs`, the run directory, is also called: see there."""

__all__ = [
    "Cell", "Classifier", "Forecaster", "Metrics", "Run", "Tagger", "TextCell", "Training", "__version__", "events",
    "load", "nn", "runs", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(f"{__name__}.api.{HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
