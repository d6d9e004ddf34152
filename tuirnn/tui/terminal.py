"""The end of the dashboard when its terminal ends, or the server of its page, or somebody asks the process to."""

import asyncio
import contextlib
import os
import select
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
    """Have the app leave by the door on SIGTERM and SIGHUP, and when its terminal or server vanishes without one.

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
    while _someone_types(in_browser=app.is_web):
        time.sleep(LOOK_EVERY)
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(partial(app.exit, return_code=1))
    time.sleep(LEAVE_WITHIN)
    os._exit(1)


def _someone_types(in_browser: bool) -> bool:
    """Whether standard input has a terminal at its other end, or the server of `tuirnn serve`."""
    if sys.__stdin__ is None:
        return False
    if not in_browser:
        return sys.__stdin__.isatty()
    if not hasattr(select, "poll"):  # Windows cannot ask a pipe
        return True
    pipe = select.poll()
    pipe.register(sys.__stdin__, 0)  # for its end alone, which need not be asked for
    return not pipe.poll(0)
