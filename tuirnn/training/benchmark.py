"""Ours against PyTorch, and both against the machine: interleaved rounds on the same weights, batch and threads.

In a round every contender has one turn, so that a slow moment of the machine affects all of them; a round that
something else has disturbed is repeated. Among the contenders is the machine itself: one large square product, and
the layer's own products with nothing between them.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any

import torch

from tuirnn.cells import CELLS
from tuirnn.training import contenders
from tuirnn.training.contenders import MACHINE, Case, Step, check, our_step, torch_step
from tuirnn.training.devices import keep_freed_memory
from tuirnn.training.peak import peak_of
from tuirnn.training.rounds import Clock, LoadMonitor, interleaved
from tuirnn.training.torch_layers import peer_kind

SHAPES = {
    "A": (32, 64, 256),
    "B": (32, 64, 512),
    "C": (64, 128, 256),
    "D": (128, 128, 512),
    "E": (64, 100, 128),
    "F": (1, 100, 512),
}
"""(batch, length, hidden)."""

WARM = 2
"""Steps of a turn before the one that is timed: whoever's turn it was has filled the caches with its own, and the
threads of a contender in another process have gone to sleep."""


@dataclass(frozen=True)
class Comparison:
    """One line of the table; times are medians over the rounds, in seconds.

    Attributes:
        kernels: which of ours: 'native', 'portable', 'cuda'.
        against: the type that PyTorch's side computed in.
        peer: what that was: 'torch.nn', or 'autograd' for a cell that torch.nn lacks.
        ratio: theirs / ours; above 1 ours is faster.
        low: the smallest ratio of a single round.
        high: the largest.
        disturbed: how many of the rounds were made while something else slowed the machine down.
        flops: nominal, see `Case`.
        matrix_flops: a second, of a large square `torch.mm` of our type in the same rounds.
        best_flops: the same with one factor packed by oneDNN, where that is faster: what the machine can do.
        share: of `matrix_flops`, which ours reaches by its nominal operations.
        floor: seconds of the recurrent products alone, one after the other, by the faster of the two.
        products: seconds of all of the layer's own products by `torch.mm`, and nothing else.
        peak: bytes that ours takes beyond weights and batch, forward and backward; None: not measured.
        peak_theirs: the same of PyTorch's side.
    """

    what: str
    cell: str
    shape: str
    batch: int
    length: int
    hidden: int
    embed: int
    backward: bool
    dtype: str
    against: str
    peer: str
    kernels: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    disturbed: int
    flops: int
    matrix_flops: float
    best_flops: float
    share: float
    floor: float
    products: float
    peak: int | None
    peak_theirs: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(
    cells: Sequence[str], shapes: dict[str, tuple[int, int, int]], *, rounds: int = 9, what: str = "layer",
    embed: int = 0, device: str = "cpu", dtype: str = "float32", against: str = "float32",
    kernels: Sequence[str] = ("native",), memory: bool = False,
) -> Iterator[list[Comparison]]:  # fmt: skip
    """Time each cell at each shape, forward alone and forward with backward.

    Args:
        cells: names.
        shapes: (batch, length, hidden) by name.
        rounds: that count; each gives every contender one turn.
        what: 'layer' on vectors of width H, or 'model' on tokens with a loss.
        embed: the model's embedding width; 0: as the hidden width.
        device: 'cpu' or 'cuda'.
        dtype: of our products' operands.
        against: what PyTorch's side computes in.
        kernels: 'native', what this machine has; 'portable', as if it had no compiler; or both.
        memory: measure peaks too, each in a process of its own.
    Yields:
        For each cell at each shape its lines: forward of every kind of kernels, then forward and backward.
    Raises:
        VerificationError: the two sides do not give the same.
    """
    keep_freed_memory()
    monitor = LoadMonitor()
    with ExitStack() as open_until_done:
        processes = {kind: open_until_done.enter_context(process_with(kind)) for kind in kernels}
        for shape, (B, T, H) in shapes.items():
            for cell in cells:
                width = embed or H if what == "model" else H
                case = Case(what, cell, B, T, H, width, False, dtype, device)
                for process in processes.values():
                    call_in(process, check, case, against)
                both = (case, replace(case, backward=True))
                yield [
                    line for each in both for line in _lines(each, against, shape, processes, rounds, monitor, memory)
                ]


def _lines(
    case: Case, against: str, shape: str, processes: dict[str, Executor | None], rounds: int, monitor: LoadMonitor,
    memory: bool,
) -> Iterator[Comparison]:  # fmt: skip
    peer = replace(case, dtype=against)
    clocks: dict[str, Clock] = {"torch": partial(seconds, torch_step, peer)}
    clocks |= {kind: partial(call_in, process, seconds, our_step, case) for kind, process in processes.items()}
    clocks |= {name: partial(seconds, build, case) for name, build in MACHINE.items()}
    times, disturbed = interleaved(clocks, rounds, monitor)
    medians = {name: statistics.median(found) for name, found in times.items()}
    floor, products = min(medians["chain"], medians["packed chain"]), medians["chain"] + medians["hoisted"]
    rate, packed_rate = (2 * contenders.SQUARE**3 / medians[name] for name in ("square", "packed square"))
    peaked = memory and case.backward
    peak_theirs = peak_of(torch_step, peer, device=case.device) if peaked else None
    for kind in processes:
        ratios = [b / a for a, b in zip(times[kind], times["torch"], strict=True)]
        with _kernels(kind):
            peak = peak_of(our_step, case, device=case.device) if peaked else None
        yield Comparison(
            case.what, case.cell, shape, case.batch, case.length, case.hidden, case.embed, case.backward, case.dtype,
            against, peer_kind(CELLS[case.cell]), kind, medians[kind], medians["torch"],
            medians["torch"] / medians[kind], min(ratios), max(ratios), disturbed, case.flops, rate,
            max(rate, packed_rate), case.flops / medians[kind] / rate, floor, products, peak, peak_theirs,
        )  # fmt: skip


def seconds(build: Callable[[Case], Step], case: Case) -> float:
    """How long a step takes that follows others, as in training; it is built when it is first asked for."""
    step = _built(build, case)
    for _ in range(WARM):
        step()
    _wait(case.device)
    began = time.perf_counter()
    step()
    _wait(case.device)
    return time.perf_counter() - began


@lru_cache(maxsize=7)  # the contenders of one comparison
def _built(build: Callable[[Case], Step], case: Case) -> Step:
    return build(case)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


# ── processes ────────────────────────────────────────────────────────────────────


@contextmanager
def _kernels(kind: str) -> Iterator[None]:
    """A process that is started inside has these kernels."""
    before = os.environ.get("TUIRNN_KERNELS")
    if kind == "portable":
        os.environ["TUIRNN_KERNELS"] = "portable"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TUIRNN_KERNELS", None)
        else:
            os.environ["TUIRNN_KERNELS"] = before


@contextmanager
def process_with(kind: str) -> Iterator[Executor | None]:
    """A process with these kernels; None if it is this one."""
    if kind != "portable":
        yield None
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with _kernels(kind):
            pool.submit(_prepare, torch.get_num_threads()).result()
        yield pool


def _prepare(threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()


def call_in(process: Executor | None, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do some work in a process of `process_with`."""
    return work(*arguments) if process is None else process.submit(work, *arguments).result()
