"""Requests from a viewer to a trainer: one small file each, taken between steps."""

import contextlib
import os
import time
import uuid
from dataclasses import dataclass

from tuirnn.errors import ConfigError, RunError, nearest
from tuirnn.files import atomic_write, read_json, to_json
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import as_number

KINDS = {
    "pause": "hold after the step at work",
    "resume": "go on after a pause",
    "lr": "multiply the learning rate by value",
    "evaluate": "evaluate and sample now",
    "checkpoint": "write a checkpoint now",
    "stop": "write a checkpoint and end",
}

MOST_AT_ONCE = 1_000
"""Requests taken in one go, so that a flooded folder never holds up the training for long."""

LR_FACTOR_BOUNDS = (1e-3, 1e3)


@dataclass(frozen=True)
class Request:
    """What is asked of the trainer; `value` is the factor of 'lr', else unused."""

    kind: str
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"unknown request '{self.kind}'; {nearest(self.kind, KINDS)}")
        low, high = LR_FACTOR_BOUNDS
        if self.kind == "lr" and not low <= self.value <= high:
            raise ConfigError(f"the learning rate's factor must be from {low:g} to {high:g}, not {self.value:g}")


def send(paths: RunPaths, request: Request) -> None:
    """Leave a request for the trainer of this run; names sort in the order of sending."""
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
    paths.control.mkdir(exist_ok=True)
    atomic_write(paths.control / name, to_json({"kind": request.kind, "value": request.value}), durable=False)


def take(paths: RunPaths) -> list[Request]:
    """Remove and return the waiting requests, oldest first; malformed ones are removed unheeded."""
    try:
        names = sorted(name for name in os.listdir(paths.control) if name.endswith(".json") and name[0] != ".")
    except OSError:
        return []
    if paths.control.is_symlink():  # whatever it leads to is not ours to clear
        return []
    requests = []
    for name in names[:MOST_AT_ONCE]:
        path = paths.control / name
        with contextlib.suppress(RunError, ConfigError):
            value = read_json(path)
            requests.append(Request(str(value.get("kind")), as_number(value.get("value", 0.0))))
        with contextlib.suppress(OSError):
            path.unlink()
    return requests
