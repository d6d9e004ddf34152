"""How fast a cell runs here, beside plainer ways to run it and beside what the memory allows."""

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from tuirnn import compiling
from tuirnn.cellfile.contract import LOGITS, TOKEN
from tuirnn.cellfile.guard import TrustedCell
from tuirnn.cellfile.vectors import TestVector
from tuirnn.export.c_source import FLAGS, write_c
from tuirnn.export.network import Network
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
    state = {name: np.zeros((meta.layers, 1, meta.hidden), np.float32) for name in meta.state_map.values()}
    rng, token = np.random.default_rng(0), 0

    def burst(count: int) -> None:
        nonlocal state, token
        for _ in range(count):
            outputs = dict(zip(names, session.run(None, {TOKEN: np.array([token]), **state}), strict=True))
            state = {into: outputs[out] for out, into in meta.state_map.items()}
            token = sample(outputs[LOGITS][0], SAMPLING, rng.random())

    return burst


@contextmanager
def compiled(network: Network, test: TestVector) -> Iterator[Burst | None]:
    """Bare steps of a network as `--c` writes it, compiled for this processor; None without a compiler."""
    found = compiling.compiler("c")
    if found is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        write_c(network, test, Path(folder))
        library = Path(folder) / "cell.so"
        flags = [*FLAGS, "-march=native", "-shared", "-fPIC"]
        sources = [str(library.with_name(name)) for name in ("cell.c", "cell_weights.c")]
        subprocess.run([found, *flags, *sources, "-lm", "-o", str(library)], check=True)  # noqa: S603
        cell = ctypes.CDLL(str(library))
        state, logits = np.zeros(1 << 20, np.float32), np.zeros(1 << 20, np.float32)
        arguments = (ctypes.c_void_p(state.ctypes.data), 0, ctypes.c_void_p(logits.ctypes.data))

        def burst(count: int) -> None:
            for _ in range(count):
                cell.cell_step(*arguments)

        yield burst


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
