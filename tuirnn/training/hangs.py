"""A process of a training that hangs in a step although it lives, noticed by the others, which wait for it.

A connection that breaks and a machine that falls silent are noticed elsewhere. A process that never reaches an exchange
(a deadlock, a read that never returns, a GPU that does not answer) breaks nothing, and the others would wait forever.
Therefore each process counts the exchanges that it has reached. One that stands still writes its number into the
store. If it has stood still for too long, it reads the numbers of all: whoever has reached fewer exchanges than
another hangs. Where all have reached as many, the step is merely long, and nobody is ended.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping

from torch.distributed import Store  # type: ignore[attr-defined]

from tuirnn.errors import LostError, one_line
from tuirnn.training.member import Member
from tuirnn.training.signals import LEADER_LOST

TICK = 1.0
"""Seconds between two looks. Only these are counted: a computer that was suspended has waited for nobody."""

TELL_AFTER = 10.0
"""Seconds of standing still after which a process writes how far it is."""

LEAST, FACTOR = 120.0, 20.0
"""Seconds, and times the leader's longest way to the first exchange of a step, that a process waits at least."""

FIRST = 1800.0
"""Seconds that it waits in the first step, for which others may still read data or compile kernels."""

GRACE = 10.0
"""Seconds that the first follower gives the leader, whose run it is, to end the training; the others wait for both."""


class HangWatch:
    """Counts the exchanges that this process reaches, and ends it if another one, or itself, has stopped doing so.

    Args:
        member: this process.
        store: of this rendezvous, for the watch alone: another thread uses it.

    Attributes:
        on_hang: called with a message before this process is ended; returns the line to print, or nothing.
        limit: seconds that the leader waits; told to the followers with each order.
        step: the step that is under way.
    """

    def __init__(self, member: Member, store: Store) -> None:
        self.on_hang: Callable[[str], str] = lambda message: message
        self.limit, self.step = FIRST, 0
        self._member, self._store = member, store
        self._reached, self._in_step, self._first = 0, False, True
        self._began = self._longest = 0.0
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """End the watch."""
        self._stopped.set()

    def begin(self, step: int) -> None:
        """An order was given or heard; exchanges that belong to it follow."""
        self.step, self._began, self._first, self._in_step = step, time.monotonic(), True, True
        self._reached += 1

    def arrive(self) -> None:
        """This process has reached an exchange."""
        if self._first:  # what comes later in a step may have waited for others
            self._first, self._longest = False, max(self._longest, time.monotonic() - self._began)
        self._reached += 1

    def done(self) -> None:
        """A step is over: the time that steps have taken says how long others may take for one; not the first one's."""
        if self.limit == FIRST:
            self._longest = 0.0
        self.limit = max(LEAST, FACTOR * self._longest)

    def rest(self) -> None:
        """Until the next order a follower waits for as long as the leader likes."""
        self._in_step = False

    def _watch(self) -> None:
        seen, still, told = -1, 0.0, -1
        grace = GRACE * min(self._member.rank, 2)
        with contextlib.suppress(RuntimeError):  # the store is gone: its machine is, or torchrun
            while not self._stopped.wait(TICK):
                reached = self._reached
                seen, still = (reached, still + TICK) if seen == reached else (reached, 0.0)
                if still >= TELL_AFTER and told != reached:
                    self._store.set(f"reached {self._member.rank}", str(reached))
                    told = reached
                if self._in_step and still >= self.limit + grace:
                    numbers = {rank: self._number(rank) for rank in range(self._member.size)}
                    numbers[self._member.rank] = reached
                    if hung := behind(numbers):
                        self._exit(told_of(hung, self._member.size, self.step, still))

    def _number(self, rank: int) -> int:
        """How far a process was when it stood still last; -1: it never has."""
        key = f"reached {rank}"
        return int(self._store.get(key)) if self._store.check([key]) else -1

    def _exit(self, message: str) -> None:
        """End this process, whose main thread waits for the hanging one, or hangs."""
        line = ""
        with contextlib.suppress(Exception):
            if line := self.on_hang(message):
                print(f"tuirnn: {one_line(line, 1000)}", file=sys.stderr, flush=True)
        os._exit(LostError.exit_code if line else LEADER_LOST)


def behind(numbers: Mapping[int, int]) -> list[int]:
    """The ranks that have reached fewer exchanges than another, of processes that all stand still."""
    most = max(numbers.values())
    return sorted(rank for rank, number in numbers.items() if number < most)


def told_of(hung: list[int], size: int, step: int, waited: float) -> str:
    """One line that names the processes that hang, counted from 1, and the step."""
    names = [str(rank + 1) for rank in hung]
    listed = names[0] if len(hung) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    one = len(hung) == 1
    who = f"process {listed} of {size} hangs" if one else f"processes {listed} of {size} hang"
    return f"{who} in step {step:,}: the others have waited {waited:.0f} s for {'it' if one else 'them'}"
