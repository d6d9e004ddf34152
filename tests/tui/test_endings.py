"""However the dashboard ends, the terminal is restored and the training continues.

`TUIRNN_LONG=1` gives each ending 25 rounds and the random keys 5,000; otherwise a few of each.
"""

import fcntl
import os
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from textual.binding import Binding

from tuirnn.errors import RunError
from tuirnn.runs import detached, liveness
from tuirnn.runs.layout import RunPaths
from tuirnn.tui.app import DashboardApp
from tuirnn.tui.tabs import tab_classes

from .conftest import Opener, trains_on, write_run

LONG = bool(os.environ.get("TUIRNN_LONG"))
ROUNDS = 25 if LONG else 1

ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
MOUSE_ON, MOUSE_OFF = "\x1b[?1003h", "\x1b[?1003l"
CURSOR_SHOWN = "\x1b[?25h"

RAISE = """
import sys
from tuirnn.tui.screens.runs import RunsTab
def boom(self): raise ZeroDivisionError("on purpose")
RunsTab.action_refresh = boom
from tuirnn.cli import main
main()
"""


class Pty:
    """The dashboard on a pseudo-terminal that outlives it; `text` is what it wrote."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [sys.executable, *words], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            env={**environment, "TERM": "xterm-256color"}, start_new_session=True,
        )  # fmt: skip
        self.text = ""

    def read(self, seconds: float) -> None:
        if select.select([self.master], [], [], seconds)[0]:
            self.text += os.read(self.master, 65_536).decode(errors="replace")

    def wait_for(self, wanted: str) -> None:
        end = time.monotonic() + 30
        while wanted not in self.text:
            assert time.monotonic() < end, self.text[-500:]
            self.read(0.1)

    def wait(self) -> int:
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05)
        code = self.process.wait(1)
        while select.select([self.master], [], [], 0.1)[0]:
            self.read(0)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.mark.parametrize("ending", ["q", "SIGTERM", "SIGHUP", "exception", "SIGKILL"])
def test_the_terminal_is_restored_and_the_training_continues(
    training: RunPaths, environment: dict[str, str], ending: str
) -> None:
    for _ in range(ROUNDS):
        words = ["-c", RAISE] if ending == "exception" else ["-m", "tuirnn"]
        terminal = Pty([*words, "--runs", str(training.root.parent)], environment)
        try:
            terminal.wait_for("night")
            assert ENTERED in terminal.text
            if ending.startswith("SIG"):
                terminal.process.send_signal(getattr(signal, ending))
            else:
                os.write(terminal.master, b"q" if ending == "q" else b"r")
            code = terminal.wait()
            assert (code == 0) == (ending == "q")
            if ending == "SIGKILL":  # only `reset` restores the terminal
                shell = subprocess.run(
                    ["reset"], stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave,
                    env={**environment, "TERM": "xterm-256color"}, timeout=20,
                )  # fmt: skip
                assert shell.returncode == 0
                now = termios.tcgetattr(terminal.slave)
                assert now[3] & termios.ICANON
                assert now[3] & termios.ECHO
            else:
                assert termios.tcgetattr(terminal.slave)[:4] == terminal.before[:4]
                assert terminal.text.rindex(LEFT) > terminal.text.rindex(ENTERED)
                assert terminal.text.rindex(MOUSE_OFF) > terminal.text.rindex(MOUSE_ON)
                assert CURSOR_SHOWN in terminal.text
        finally:
            terminal.close()
        assert trains_on(training)


async def test_random_keys_and_sizes_break_nothing(
    folder: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*args: object, **more: object) -> RunPaths:
        raise RunError("not in this test")

    monkeypatch.setattr(detached, "_start", refuse)
    monkeypatch.setattr(liveness, "kill", refuse)  # this process takes the place of the trainer
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    rng = random.Random(int(os.environ.get("TUIRNN_SEED", "7")))
    bindings = [key for owner in (DashboardApp, *tab_classes()) for key in Binding.make_bindings(owner.KEYS)]
    names = sorted({binding.key for binding in bindings if binding.key != "q"})
    names += ["tab", "shift+tab", "enter", "escape", "up", "down", "x", "é", "home", "pagedown", "ctrl+s", "y", "n"]
    for session in range(25 if LONG else 1):
        async with opened(folder) as pilot:
            for turn in range(10):
                for key in rng.choices(names, k=20):
                    pilot.app.simulate_key(key)
                    await pilot.pause(0.005)
                await pilot.resize_terminal(rng.randint(1, 220), rng.randint(1, 70))
                if turn % 5 == 2:
                    write_run(folder, f"extra-{session}-{turn}", steps=20)
            assert pilot.app.is_running
