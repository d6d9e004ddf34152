"""What reaches a training from outside: signals, requests in its control folder, the end of the torchrun above it."""

import os
import signal
import time

from tuirnn.runs import control
from tuirnn.runs.layout import RunPaths
from tuirnn.training.member import under_torchrun
from tuirnn.training.signals import Interrupted, Signals

CONTROL_POLL = 0.1
"""Seconds between two checks of the control folder."""


class ControlChannel(Signals):
    """Requests and signals, read between steps.

    Args:
        paths: the run.
    """

    def __init__(self, paths: RunPaths) -> None:
        super().__init__()
        self._paths, self._next_poll, self._stop_requested = paths, 0.0, False
        self._parent = os.getppid() if under_torchrun() else None

    @property
    def leaving(self) -> bool:
        """Whether the training was asked to write a checkpoint and end."""
        if self._parent not in (None, os.getppid()) and self.received is None:
            self.received = signal.SIGTERM  # torchrun was killed: nobody watches or ends this training any more
        return self.received is not None or self._stop_requested

    @property
    def reason(self) -> str:
        """Who asked for the end: the name of a signal, or 'request'."""
        return self.name or "request"

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come; called now and then in work that takes long."""
        if self.leaving and self.received is not None:
            raise Interrupted(self.name)

    def due(self) -> bool:
        """Whether it is time to look for requests."""
        return time.perf_counter() >= self._next_poll

    def requests(self) -> list[control.Request]:
        """Take the waiting requests, oldest first; 'stop' is also remembered."""
        taken = control.take(self._paths)
        self._stop_requested |= any(request.kind == "stop" for request in taken)
        self._next_poll = time.perf_counter() + CONTROL_POLL
        return taken
