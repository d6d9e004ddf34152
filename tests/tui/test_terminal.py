"""The dashboard in a real terminal: opened beside a training, closed, opened again, killed."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from tuirnn.runs.layout import RunPaths

from .conftest import trains_on


class Terminal:
    """`tuirnn` on a pseudo-terminal of 120×40; `text` is all that it has written so far."""

    def __init__(self, folder: Path, environment: dict[str, str], *words: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tuirnn", "--runs", str(folder), *words],
            stdin=slave, stdout=slave, stderr=slave, env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def wait_for(self, wanted: str, seconds: float = 30.0) -> float:
        """Read until `wanted` has been written; returns the seconds since the start."""
        until = time.monotonic() + seconds
        while wanted not in self.text:
            if time.monotonic() > until:
                self.process.kill()
                raise AssertionError(f"{wanted!r} never came: {self.text[-2000:]!r}")
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 65_536).decode(errors="replace")
        return time.monotonic() - self.began

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.master, keys.encode())

    def end(self, number: int | None = None) -> int:
        """Wait for the end, after a signal or the key `q`."""
        if number is None:
            self.press("q")
        else:
            self.process.send_signal(number)
        while True:  # a process blocks on a terminal that is not read
            try:
                if not os.read(self.master, 65_536):
                    break
            except OSError:
                break
        os.close(self.master)
        return self.process.wait(20)


def test_viewers_come_go_and_die_while_it_trains(training: RunPaths, environment: dict[str, str]) -> None:
    folder = training.root.parent
    first = Terminal(folder, environment)
    first.wait_for("night")
    assert first.end() == 0
    second = Terminal(folder, environment, "--run", "night")
    second.wait_for("night")
    assert second.end(signal.SIGKILL) == -signal.SIGKILL
    third = Terminal(folder, environment, "--run", "night")
    third.wait_for("val")
    assert third.end(signal.SIGTERM) != 0
    assert trains_on(training)


def test_a_vanished_terminal_ends_the_dashboard(small_run: RunPaths, environment: dict[str, str]) -> None:
    terminal = Terminal(small_run.root.parent, environment)
    terminal.wait_for(small_run.name)
    os.close(terminal.master)
    assert terminal.process.wait(10) != 0


def test_a_terminal_that_hangs_up_while_textual_restarts(small_run: RunPaths, environment: dict[str, str]) -> None:
    """SIGCONT comes with the hangup, as from the kernel, while something is being drawn."""
    terminal = Terminal(small_run.root.parent, environment, "--run", small_run.name)
    terminal.wait_for(small_run.name)
    terminal.press("4")
    terminal.wait_for("CPU")
    terminal.press(" ")  # the network writes
    os.close(terminal.master)
    for number in (signal.SIGCONT, signal.SIGHUP, signal.SIGCONT):
        terminal.process.send_signal(number)
    assert terminal.process.wait(20) != 0


def test_the_dashboard_opens_where_torch_cannot_be_imported(
    small_run: RunPaths, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    changed = {**environment, "PYTHONPATH": str(tmp_path)}
    terminal = Terminal(small_run.root.parent, changed, "--run", small_run.name)
    terminal.wait_for(small_run.name)
    terminal.press("4")
    terminal.wait_for("CPU")  # the provider: the cell is open
    assert terminal.end() == 0
