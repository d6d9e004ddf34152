"""Heartbeats between the machines of a training, to notice one that has lost its power or its network.

If a process ends, its connections are closed and the others notice at once. If a machine vanishes, nothing is closed,
and a process that waits for it waits forever. Therefore each process increments a number in torchrun's store and reads
the numbers of others.
"""

import contextlib
import datetime
import os
import sys
import threading
import time
from collections.abc import Callable

from tuirnn.errors import LostError, one_line
from tuirnn.training.member import Member
from tuirnn.training.rendezvous import open_store

INTERVAL = 2.0
"""Seconds between two heartbeats."""

SILENT_AFTER = 15.0
"""Seconds without a heartbeat after which a process counts as lost."""


class Heartbeats:
    """Sends heartbeats of this process and checks those of the leader, or as the leader those of all others.

    One thread exchanges heartbeats and another one measures the silence, because an operation on a store whose machine
    has vanished may never return.

    Args:
        member: this process. The first heartbeat is sent at once.

    Attributes:
        on_silence: called with a message before this process is ended; returns the line to print, or nothing.
    """

    def __init__(self, member: Member) -> None:
        self.on_silence: Callable[[str], str] = lambda message: message
        self._member = member
        self._checked = [rank for rank in range(member.size) if rank != member.rank and 0 in (rank, member.rank)]
        self._store = open_store(member, datetime.timedelta(seconds=SILENT_AFTER))
        self._stopped = threading.Event()
        self._send(0)

    def start(self) -> None:
        """Start both threads; all processes have sent their first heartbeat."""
        self._received = dict.fromkeys(self._checked, time.monotonic())
        for work in (self._exchange, self._measure):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """Stop both threads."""
        self._stopped.set()

    def _send(self, number: int) -> None:
        self._store.set(f"heartbeat {self._member.rank}", str(number))

    def _exchange(self) -> None:
        last: dict[int, bytes] = {}
        number = 0
        with contextlib.suppress(RuntimeError):  # the store is gone: no more heartbeats are received
            while not self._stopped.wait(INTERVAL):
                number += 1
                self._send(number)
                for rank in self._checked:
                    heartbeat = self._store.get(f"heartbeat {rank}")
                    if heartbeat != last.get(rank):
                        last[rank], self._received[rank] = heartbeat, time.monotonic()

    def _measure(self) -> None:
        while not self._stopped.wait(1.0):
            rank = min(self._received, key=self._received.__getitem__)
            silence = time.monotonic() - self._received[rank]
            if silence > SILENT_AFTER:
                self._exit(f"process {rank + 1} of {self._member.size} has not responded for {silence:.0f} s")

    def _exit(self, message: str) -> None:
        """End this process; its main thread may be inside an operation that waits for the lost one."""
        with contextlib.suppress(Exception):
            if line := self.on_silence(message):
                print(f"tuirnn: {one_line(line, 1000)}", file=sys.stderr, flush=True)
        os._exit(LostError.exit_code)
