"""Time to the first output: `tuirnn --help`, the dashboard's first frame and first runs, and a cell that writes in it.

    .venv/bin/python benchmarks/first_impressions.py [RUNS_FOLDER]

Medians of five starts, in a pseudo-terminal of 120×40. Last, the seconds from the start of the dashboard until a cell
writes in its Generate tab: `4` opens it, `space` lets the cell write.
"""

import fcntl
import math
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from dashboard import Terminal

ROUNDS = 5
QUIET = 0.4  # seconds without output after which the screen is taken to be drawn


def help_seconds() -> float:
    """One start of `tuirnn --help`."""
    began = time.perf_counter()
    subprocess.run([tuirnn(), "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def dashboard_seconds(folder: str, wanted: str) -> tuple[float, float, float]:
    """(first bytes, first frame, `wanted` on the screen) of one start of the dashboard, in seconds."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    began = time.perf_counter()
    process = subprocess.Popen(
        [tuirnn(), "--runs", folder],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    text, first, frame, seen = "", 0.0, 0.0, 0.0
    while not (frame and (seen or not wanted)) and time.perf_counter() - began < 20:
        if select.select([master], [], [], QUIET)[0]:
            text += os.read(master, 65_536).decode(errors="replace")
            now = time.perf_counter() - began
            first = first or now
            frame = frame or (now if "Runs" in text and "quit" in text else 0.0)
            seen = seen or (now if wanted and wanted in text else 0.0)
    process.kill()
    process.wait()
    os.close(master)
    return first, frame, seen


def writing_seconds(folder: str) -> float:
    """From the start of the dashboard until a cell writes; infinite where none does within twenty seconds."""
    terminal = Terminal(Path(folder))
    try:
        for key, shown in (("", "quit"), ("4", "paused"), (" ", "writing")):
            os.write(terminal.master, key.encode())
            while shown not in terminal.text:
                terminal.read(QUIET)
                if terminal.since() > 20:
                    return math.inf
        return terminal.since()
    finally:
        terminal.close()


def tuirnn() -> str:
    """The command beside this interpreter."""
    return str(Path(sys.executable).with_name("tuirnn"))


def main() -> None:
    """Print the medians."""
    folder = sys.argv[1] if len(sys.argv) > 1 else "checkpoints"
    runs = sorted(path.parent.name for path in Path(folder).glob("*/run.json"))
    wanted = runs[-1] if runs else ""
    print(f"tuirnn --help          {statistics.median(help_seconds() for _ in range(ROUNDS)):.2f} s")
    starts = [dashboard_seconds(folder, wanted) for _ in range(ROUNDS)]
    for label, column in (("first bytes", 0), ("first frame", 1), (f"run '{wanted}' listed", 2)):
        seconds = [start[column] for start in starts]
        print(f"{label:<22} {statistics.median(seconds):.2f} s, at least {min(seconds):.2f} s")
    if (writing := statistics.median(writing_seconds(folder) for _ in range(ROUNDS))) < math.inf:
        print(f"a cell writes          {writing:.2f} s")


if __name__ == "__main__":
    main()
