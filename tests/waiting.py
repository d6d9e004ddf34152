"""Waiting for a condition instead of for a time."""

import time
from collections.abc import Callable


def wait(ready: Callable[[], object], seconds: float = 60.0) -> None:
    """Return once `ready()` is true; fail after so many seconds, many times what an idle machine needs."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"still not true after {seconds:g} s"
        time.sleep(0.01)
