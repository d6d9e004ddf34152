"""How fast a cell runs here, beside plainer ways to run it and beside what the memory allows."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import LOGITS, TOKEN
from tuirnn.runtime.generate import TextWriter
from tuirnn.runtime.samplers import Sampling, sample
from tuirnn.runtime.session import CellSession

SAMPLING = Sampling(temperature=0.8)
PAUSE_EVERY = 64
"""Steps between two looks at the clock."""

MEMORY = 256 * 2**20
"""Bytes that no cache holds."""

Burst = Callable[[int], None]
"""Does that many steps."""


@dataclass(frozen=True)
class Rate:
    """Steps or characters a second: the median over the rounds, and the best."""

    median: float
    best: float


def interleaved(contenders: dict[str, Burst], *, rounds: int, seconds: float) -> dict[str, Rate]:
    """Measure each contender for `seconds` in every round, in turn, so that a busy moment of the machine hits all."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for burst in contenders.values():
        burst(PAUSE_EVERY)
    for _ in range(rounds):
        for name, burst in contenders.items():
            steps, began = 0, time.perf_counter()
            while (spent := time.perf_counter() - began) < seconds:
                burst(PAUSE_EVERY)
                steps += PAUSE_EVERY
            rates[name].append(steps / spent)
    return {name: Rate(float(np.median(found)), max(found)) for name, found in rates.items()}


def steps(session: CellSession) -> Burst:
    """Bare steps, no sampling."""

    def burst(count: int) -> None:
        for _ in range(count):
            session.advance()

    return burst


def characters(session: CellSession) -> Burst:
    """Characters as `tuirnn generate` writes them, sampling included."""
    writer = TextWriter(session)

    def burst(count: int) -> None:
        for _ in writer.stream(SAMPLING, count):
            pass

    return burst


def naive(cell: TrustedCell) -> Burst:
    """Characters the plain way: `session.run` on dictionaries of fresh arrays, and numpy's sampling."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = ort.InferenceSession(cell.data, options, providers=["CPUExecutionProvider"])
    meta, names = cell.metadata, [output.name for output in session.get_outputs()]
    shapes = meta.interface(1)[0]
    state = {name: np.zeros(tuple(map(int, shapes[name][1])), np.float32) for name in meta.state_map.values()}
    rng, token = np.random.default_rng(0), 0

    def burst(count: int) -> None:
        nonlocal state, token
        for _ in range(count):
            outputs = dict(zip(names, session.run(None, {TOKEN: np.array([token]), **state}), strict=True))
            state = {into: outputs[out] for out, into in meta.state_map.items()}
            token = sample(outputs[LOGITS][0], SAMPLING, rng.random())

    return burst


def bytes_of_a_step(cell: TrustedCell) -> int:
    """Bytes of weights that one step has to read: all, but of the table only a row."""
    tensors = onnx.ModelProto.FromString(cell.data).graph.initializer
    return sum(len(tensor.raw_data) // (tensor.dims[0] if tensor.name == "table" else 1) for tensor in tensors)


def bandwidth(size: int, *, seconds: float = 0.3) -> float:
    """Bytes a second that one thread reads from a buffer of `size` bytes, over and over: from cache where it fits."""
    words = np.ones(max(size // 4, 1024), np.int32)
    best, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        for _ in range(8):
            words.max()
        best = max(best, 8 * words.nbytes / (time.perf_counter() - began))
    return best
