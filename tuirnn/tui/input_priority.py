"""Keys and the mouse before the reading of logs."""

import time

QUIET, PATIENCE = 0.1, 0.3
"""Seconds after input before a long log is read further, and seconds after which it is read further in any case."""


class InputPriority:
    """Lets input go before the reading of long logs, since both need the interpreter."""

    def __init__(self) -> None:
        self._until = 0.0

    def received(self) -> None:
        """Note that a key was pressed or the mouse was used."""
        self._until = time.monotonic() + QUIET

    @property
    def is_idle(self) -> bool:
        """Whether there was no input in the last `QUIET` seconds."""
        return time.monotonic() >= self._until

    def wait(self) -> None:
        """Block a reader between two pieces until input pauses, for `PATIENCE` seconds at most."""
        end = time.monotonic() + PATIENCE
        while (now := time.monotonic()) < min(self._until, end):
            time.sleep(min(self._until, end) - now)
