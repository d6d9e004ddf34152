"""Exiting on signals, and when the terminal or the web server of the dashboard disappears."""

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

CHECK_EVERY = 1.0
EXIT_WITHIN = 5.0
"""Seconds between the loss of the terminal and a forced exit."""


def exit_with_terminal(app: App[None]) -> None:
    """Exit cleanly on SIGTERM and SIGHUP, and when terminal or server disappear without a signal.

    Must be called in the app's event loop.
    """
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGHUP"):  # so that the terminal is restored
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows has neither
            number = getattr(signal, name)
            loop.add_signal_handler(number, partial(app.exit, return_code=128 + number))
    threading.Thread(target=_watch_terminal, args=(app, loop), daemon=True).start()


def _watch_terminal(app: App[None], loop: asyncio.AbstractEventLoop) -> None:
    """Exit when the terminal is lost. A thread of its own does this, because the event loop may block: a hangup comes
    with SIGCONT, upon which Textual draws everything again, to a terminal that no longer reads.
    """
    while _has_user(in_browser=app.is_web):
        time.sleep(CHECK_EVERY)
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(partial(app.exit, return_code=1))
    time.sleep(EXIT_WITHIN)
    os._exit(1)


def _has_user(in_browser: bool) -> bool:
    """Whether the other end of standard input, a terminal or the server of `tuirnn serve`, still exists."""
    if sys.__stdin__ is None:
        return False
    if not in_browser:
        return sys.__stdin__.isatty()
    if not hasattr(select, "poll"):  # Windows cannot poll a pipe
        return True
    pipe = select.poll()
    pipe.register(sys.__stdin__, 0)  # no events: a closed pipe is always reported
    return not pipe.poll(0)
