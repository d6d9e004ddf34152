"""Long reading: shared by threads, its progress on standard error once it takes more than two seconds."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from tuirnn import machine
from tuirnn.errors import one_line
from tuirnn.machine import give_back_freed_memory

SILENT = 2.0
"""Seconds for which nothing is said."""

EVERY, EVERY_PLAIN = 0.5, 10.0
"""Seconds between two lines on a terminal, which replace one another, and in a pipe."""

BETWEEN = 64
"""Pieces after which freed memory is given back."""

WORKERS = max(1, min(4, os.cpu_count() or 1))

A_THREAD = 128e6
"""Bytes of address space that a thread takes beside its work: a stack, and the C library's heap for it."""

P = TypeVar("P")
T = TypeVar("T")


class Progress:
    """Says how far some work is, and how long the rest will take; a context manager that ends the line.

    Args:
        what: is done, such as 'encoding book.txt'.
        total: bytes to be read, each pass counted; 0: nothing is ever said.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = one_line(what, 60), total, 0
        self._began = time.monotonic()
        self._next = self._began + SILENT
        self._open = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            print(file=sys.stderr, flush=True)

    def add(self, amount: int) -> None:
        """So many more bytes have been read."""
        self.done += amount
        now = time.monotonic()
        if not self.total or now < self._next:
            return
        share = min(1.0, self.done / self.total)
        left = (now - self._began) * (1 - share) / share
        line = f"tuirnn: {self.what}: {100 * share:.0f} %, about {max(1, round(left))} s left"
        if sys.stderr.isatty():
            print(f"\r{line}   ", end="", file=sys.stderr, flush=True)
            self._open = True
        else:
            print(line, file=sys.stderr, flush=True)
        self._next = now + (EVERY if self._open else EVERY_PLAIN)


def affordable(threads: int, each: float = 0.0) -> int:
    """So many threads, or fewer where this process has a limit of its memory; 1: better none beside this one.

    A thread that lacks memory to begin, or to report its error, leaves those who wait for it waiting for ever.

    Args:
        threads: that are wanted.
        each: bytes that the work of each takes at its peak.
    """
    if machine.address_limit() is None or (there := machine.room()) is None:
        return threads
    return max(1, min(threads, int(there.free // (A_THREAD + each))))


def in_order(work: Callable[[P], T], pieces: Iterable[P], *, threads: int = WORKERS, each: float = 0.0) -> Iterator[T]:
    """As `map`, in several threads, as far as memory allows; no more than one piece for each is waiting.

    Args:
        work: done with each piece.
        pieces: in the order of what is returned.
        threads: at most.
        each: bytes that the work of each takes at its peak, see `affordable`.
    """
    threads = affordable(threads, each) if threads > 1 else 1
    if threads == 1:
        yield from map(work, pieces)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[T]] = deque()
        for number, piece in enumerate(pieces):
            waiting.append(pool.submit(work, piece))
            if len(waiting) > threads:
                yield waiting.popleft().result()
            if number % BETWEEN == BETWEEN - 1:
                give_back_freed_memory()
        while waiting:
            yield waiting.popleft().result()
    give_back_freed_memory()
