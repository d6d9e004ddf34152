"""What a run has said: the output of its trainer, or its history where it was started in a terminal of its own."""

import os
import time

from tuirnn.files import open_own
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail
from tuirnn.text import visible_line

LINES = 400
"""The newest lines that are shown."""

BYTES = 2**17
"""Of a log, from its end, that are read."""

State = tuple[tuple[int, int], ...]


def state(paths: RunPaths) -> State:
    """Different whenever there is something new to read."""
    found = []
    for path in (paths.log, paths.events):
        try:
            stat = os.stat(path)
            found.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            found.append((0, -1))
    return tuple(found)


def lines(paths: RunPaths) -> list[str]:
    """The newest lines of the trainer's output; without one, the events of the run."""
    return _output(paths) or _history(paths)


def _output(paths: RunPaths) -> list[str]:
    try:
        with open(open_own(paths.log), "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - BYTES))
            said = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    whole = said[1:] if end > BYTES else said
    return [visible_line(line.rsplit("\r", 1)[-1]) for line in whole if line.strip()][-LINES:]


def _history(paths: RunPaths) -> list[str]:
    found = []
    for record in LogTail(paths.events).read()[-LINES:]:
        at, kind = record.get("at"), record.get("event")
        when = time.strftime("%H:%M:%S", time.localtime(at)) if isinstance(at, float) and 0 < at < 3e10 else "--:--:--"
        rest = "  ".join(
            f"{name} {value}" for name, value in record.items() if name not in ("at", "event") and value != ""
        )
        found.append(visible_line(f"{when}  {kind}  {rest}".rstrip()))
    return found
