"""The end of the dashboard when its terminal ends, or somebody asks the process to."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from functools import partial

from textual.app import App

LOOK_EVERY = 1.0
LEAVE_WITHIN = 5.0
"""Seconds from the loss of the terminal to the end, whatever still hangs on it."""


def leave_when_asked(app: App[None]) -> None:
    """Have the app leave by the door on SIGTERM and SIGHUP, and when the terminal vanishes, as it can without one.

    Called in the app's own event loop.
    """
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGHUP"):  # so the terminal is put back as it was
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows has neither
            number = getattr(signal, name)
            loop.add_signal_handler(number, partial(app.exit, return_code=128 + number))
    threading.Thread(target=_leave_lost_terminal, args=(app, loop), daemon=True).start()


def _leave_lost_terminal(app: App[None], loop: asyncio.AbstractEventLoop) -> None:
    """In a thread of its own: a hangup comes with SIGCONT, upon which Textual writes to the terminal anew and, as
    nothing takes it there, may wait for ever.
    """
    while sys.__stdin__ is not None and sys.__stdin__.isatty():
        time.sleep(LOOK_EVERY)
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(partial(app.exit, return_code=1))
    time.sleep(LEAVE_WITHIN)
    os._exit(1)
