"""Following `probes.jsonl`: the gradient by time step, the distribution of gate values."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn.runs.reader import LogTail, as_number

KEPT = 1_000
"""Older probes are dropped."""

MAX_NUMBERS = 4_096


@dataclass(frozen=True)
class Probe:
    """What a trainer recorded about gradients and gates at one step.

    Attributes:
        step: of the training.
        gradient: per layer, the norm of ∂(loss at the last step)/∂h_t for t = 0..T-1.
        gates: per layer, gate -> the share of its values in equal bins of its range.
        ranges: per layer, gate -> least and largest value; not recorded by earlier versions.
    """

    step: int
    gradient: tuple[tuple[float, ...], ...]
    gates: tuple[dict[str, tuple[float, ...]], ...]
    ranges: tuple[dict[str, tuple[float, ...]], ...] = ()


class ProbeLog:
    """Follows the probes of a run; `read` in any one thread."""

    def __init__(self, path: Path) -> None:
        self._tail = LogTail(path)
        self._generation = 0
        self._seen: tuple[int, int, int] | None = None
        self.probes: tuple[Probe, ...] = ()

    def changed(self) -> bool:
        """Whether the file has changed since the last call."""
        try:
            stat = os.stat(self._tail.path)
            now = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            now = (0, -1, 0)
        same, self._seen = now == self._seen, now
        return not same

    def read(self) -> tuple[Probe, ...]:
        """All probes so far, oldest first, the newest `KEPT` of them."""
        fresh = [probe for record in self._tail.records() if (probe := parse(record)) is not None]
        if self._tail.generation != self._generation:
            self._generation, self.probes = self._tail.generation, ()
        self.probes = (*self.probes, *fresh)[-KEPT:]
        return self.probes


def parse(record: dict[str, Any]) -> Probe | None:
    """A record as a probe; None if it is damaged."""
    step, gradient, gates = as_number(record.get("step")), record.get("gradient"), record.get("gates")
    if step != step or not isinstance(gradient, list) or not isinstance(gates, list):
        return None
    return Probe(
        int(step) if abs(step) < 1e18 else 0,
        tuple(_numbers(layer) for layer in gradient),
        _by_gate(gates),
        _by_gate(record.get("ranges")),
    )


def _by_gate(layers: object) -> tuple[dict[str, tuple[float, ...]], ...]:
    """Per layer, gate -> numbers."""
    return tuple(
        {str(name)[:12]: _numbers(values) for name, values in layer.items()} if isinstance(layer, dict) else {}
        for layer in (layers if isinstance(layers, list) else [])
    )


def _numbers(values: object) -> tuple[float, ...]:
    return tuple(map(as_number, values[:MAX_NUMBERS])) if isinstance(values, list) else ()
