"""Leaving when the system asks: the first signal is remembered, the second one ends at once."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any


class Signals:
    """While entered, SIGINT and SIGTERM are remembered in `received` instead of ending the process."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        try:
            self._previous = {n: signal.signal(n, self._remember) for n in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: whoever started it handles signals
            self._previous = {}
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
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
