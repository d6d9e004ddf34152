"""Leaving when the system asks: the first signal is remembered, the second one ends at once."""

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

REQUEUE = 75
"""Exit code (EX_TEMPFAIL of sysexits.h) after a pre-emption: a checkpoint is there, start me again with --resume."""

LEAVING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
)  # Windows lacks the last two


class Interrupted(Exception):
    """Work that can be done again later was cut short by a signal."""


class Signals:
    """While entered, signals that ask for an end are remembered in `received` instead of ending the process.

    A hang-up means nothing to a process that leads a session without a terminal (a detached run), nor where
    whoever started us ignores it (`nohup`).
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        for number in LEAVING:
            if signal.getsignal(number) is signal.SIG_IGN:
                continue
            hang_up = number == getattr(signal, "SIGHUP", None)
            try:
                self._previous[number] = signal.signal(
                    number, signal.SIG_IGN if hang_up and _without_terminal() else self._remember
                )
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

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come; called now and then in work that takes long."""
        if self.received is not None:
            raise Interrupted(self.name)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number


def exit_code(name: str) -> int:
    """What a training that the signal `name` ended exits with: asked to leave by the system, it asks to come back."""
    return REQUEUE if name in ("SIGTERM", "SIGUSR1") else 128 + signal.Signals[name]


def _without_terminal() -> bool:
    if os.getsid(0) != os.getpid():
        return False
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return not any(stream is not None and not stream.closed and stream.isatty() for stream in streams)
