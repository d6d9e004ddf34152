"""Leaving when the system asks: the first signal is remembered, the second one ends at once."""

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

from tuirnn.training.member import under_torchrun

REQUEUE = 75
"""Exit code (EX_TEMPFAIL of sysexits.h) after a pre-emption: a checkpoint is there, start me again with --resume."""

LEADER_LOST = 76
"""Exit code (EX_PROTOCOL of sysexits.h) of a process that has nothing to report but that another one has gone."""

LEAVING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
)  # Windows lacks the last two


class Interrupted(Exception):
    """Work that can be done again later was cut short by a signal."""


def handled_signals() -> list[int]:
    """The signals of `LEAVING` that ask this process to end.

    Not those that its parent ignores (`nohup`), and no hang-up where there is no terminal (a detached run).
    """
    hang_up = getattr(signal, "SIGHUP", None)
    return [
        number
        for number in LEAVING
        if signal.getsignal(number) is not signal.SIG_IGN and not (number == hang_up and _without_terminal())
    ]


class Signals:
    """While entered, the signals that ask for an end are stored in `received` instead of ending the process.

    A second signal ends it at once; but torchrun passes each signal on to its processes, which a scheduler may have
    sent to them as well: there, only a second signal of another kind does.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        asking = handled_signals()
        for number in LEAVING:
            try:
                self._previous[number] = signal.signal(number, self._remember if number in asking else signal.SIG_IGN)
            except ValueError:  # not in the main thread: whoever started it handles signals
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def name(self) -> str:
        """Of the signal received, such as 'SIGTERM'."""
        return signal.Signals(self.received).name if self.received is not None else ""

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and not (number == self.received and under_torchrun()):
            os._exit(128 + number)
        self.received = number


def exit_code(name: str) -> int:
    """What a training that the signal `name` ended exits with: asked to leave by the system, it asks to come back."""
    return REQUEUE if name in ("SIGTERM", "SIGUSR1") else 128 + signal.Signals[name]


def _without_terminal() -> bool:
    if os.getsid(0) != os.getpid() or under_torchrun():  # which gives each process a session of its own
        return False
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return not any(stream is not None and not stream.closed and stream.isatty() for stream in streams)
