"""The run directory: the one road from a trainer to everyone who watches. No torch here.

`writer` has the trainer's side, `reader` and `listing` everyone else's, `control` the requests that go
back, `checkpoint` the verified step directories. The format is described in `checkpoints/README.md`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tuirnn.api.runs import Run

FORMAT = 1
"""Version of the run directory's format, in `run.json`."""


class _Callable(ModuleType):
    """This package; `tuirnn.runs()` of the Python interface, which bears its name, lists runs."""

    def __call__(self, folder: "str | Path | None" = None) -> "list[Run]":
        """See `tuirnn.api.runs.runs`."""
        found: list[Run] = import_module("tuirnn.api.runs").runs(folder)
        return found


sys.modules[__name__].__class__ = _Callable
