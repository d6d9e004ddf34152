"""Requests from a viewer to a trainer: one small file each, taken between steps."""

import os
import time
import uuid
from dataclasses import dataclass

from tuirnn.errors import ConfigError, RunError, nearest
from tuirnn.files import atomic_write, read_json, to_json
from tuirnn.runs.layout import RunPaths

KINDS = {
    "pause": "hold after the step at work",
    "resume": "go on after a pause",
    "lr": "multiply the learning rate by value",
    "evaluate": "evaluate and sample now",
    "checkpoint": "write a checkpoint now",
    "stop": "write a checkpoint and end",
}

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
    requests = []
    for name in names:
        path = paths.control / name
        try:
            value = read_json(path)
            requests.append(Request(str(value.get("kind")), float(value.get("value", 0.0))))
        except (RunError, ConfigError, TypeError, ValueError):
            pass
        path.unlink(missing_ok=True)
    return requests
