"""The dashboard's performance in a real pseudo-terminal of 120×40, as one table.

    .venv/bin/python benchmarks/dashboard.py [--rounds 5] [--quick]

Makes a run of 3 series × 1,000,000 points in a temporary folder (about 150 MB), opens it, presses keys, appends
records, waits idly. Everything is measured from outside, at the terminal's end of the line. `--quick` takes a
hundredth of the points and two rounds, to try the harness itself.
"""

import argparse
import fcntl
import json
import math
import os
import pty
import random
import re
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

KEYS = ("\x1b[D", "\x1b[C", "+", "-", "y", "m", "u", "[", "]", "1", "2", "0")
BRAILLE = range(0x2801, 0x2900)


class Terminal:
    """`tuirnn` on a pseudo-terminal; `text` is all that it has written so far."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.began = time.perf_counter()
        command = [sys.executable, "-m", "tuirnn", "--runs", str(folder), *words]
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.text = ""
        self.first = math.nan

    def read(self, seconds: float) -> bool:
        """Read what comes within some seconds; returns whether anything did."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.text += os.read(self.master, 65_536).decode(errors="replace")
        self.first = min(self.first, self.since()) if self.first == self.first else self.since()
        return True

    def since(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.began

    def until(self, ready, seconds: float = 60.0) -> float:  # type: ignore[no-untyped-def]
        """Read until `ready(text)`; returns the seconds since the start."""
        end = time.perf_counter() + seconds
        while not ready(self.text):
            self.read(0.02)
            if time.perf_counter() > end or self.process.poll() is not None:
                raise SystemExit(f"the dashboard never showed what was waited for: {self.text[-500:]!r}")
        return self.since()

    def settle(self, quiet: float = 0.15) -> None:
        """Read until nothing has come for a while."""
        while self.read(quiet):
            pass

    def press(self, key: str) -> float:
        """Press a key; returns the seconds until the first bytes come back (NaN: none within a second)."""
        began = time.perf_counter()
        os.write(self.master, key.encode())
        came = self.read(1.0)
        return time.perf_counter() - began if came else math.nan

    def cpu(self) -> float:
        """Seconds of processor that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Megabytes resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def close(self) -> None:
        """Away with it."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def make_run(folder: Path, name: str, points: int) -> Path:
    """A run as a trainer leaves it, with so many training steps of three series."""
    root = folder / name
    (root / "control").mkdir(parents=True)
    now = time.time()
    record = {
        "format": 1,
        "config": {},
        "vocab": {"kind": "char", "symbols": list("\n abc")},
        "data": {"name": "letters", "sha256": "0" * 64, "train": 10**6, "val": 10**5, "test": 0},
        "environment": {},
        "created": now - points * 0.02,
        "parameters": 823_362,
    }
    (root / "run.json").write_text(json.dumps(record))
    status = {"state": "running", "pid": os.getpid(), "host": socket.gethostname(), "step": points, "heartbeat": now}
    (root / "status.json").write_text(json.dumps(status))
    rng = random.Random(1)
    with open(root / "metrics.jsonl", "w") as file:
        for step in range(1, points + 1):
            loss = 1.2 + 3 * math.exp(-8 * step / points) + rng.gauss(0, 0.05)
            at = round(now - (points - step) * 0.02, 3)
            rate = 5e-3 * (1 + math.cos(math.pi * step / points)) / 2
            norm = abs(rng.gauss(0.5, 0.1))
            line = {"step": step, "split": "train", "at": at, "loss": loss, "grad_norm": norm, "lr": rate}
            file.write(json.dumps(line) + "\n")
            if step % (points // 200) == 0:
                val = {"step": step, "split": "val", "at": at, "loss": loss + 0.2, "loss_blocks": loss + 0.25}
                file.write(json.dumps(val) + "\n")
    for log in ("samples", "probes", "events"):
        (root / f"{log}.jsonl").touch()
    return root


def has_chart(text: str) -> bool:
    """Whether braille is on the screen: a curve is drawn."""
    return any(ord(character) in BRAILLE for character in text)


def openings(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Cold starts on the long run."""
    found: dict[str, list[float]] = {"first bytes": [], "first chart": [], "exact": []}
    for _ in range(rounds):
        terminal = Terminal(folder, "--run", "long")
        found["first chart"].append(terminal.until(has_chart))
        found["first bytes"].append(terminal.first)
        found["exact"].append(terminal.until(lambda text: not reading(text)))
        terminal.close()
    return found


def reading(text: str) -> bool:
    """Whether the newest title of the chart says that it is a sketch, or there is none yet."""
    titles = re.findall(r"(sketch, \d+ % read · )?by step", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[-200_000:]))
    return not titles or bool(titles[-1])


def keys(terminal: Terminal, rounds: int) -> list[float]:
    """Latencies of many keys."""
    found = []
    for _ in range(rounds):
        for key in KEYS:
            found.append(terminal.press(key))
            terminal.settle(0.08)
    return [seconds for seconds in found if seconds == seconds]


def record_to_pixel(terminal: Terminal, root: Path, points: int, records: int) -> list[float]:
    """Seconds from a record that changes the chart to the first bytes after it."""
    found = []
    rng = random.Random(2)
    for k in range(records):
        terminal.settle(0.3)
        time.sleep(rng.random() / 5)
        line = {"step": points + 1 + k, "split": "val", "at": time.time(), "loss": 0.1 + rng.random() * 5}
        began = time.perf_counter()
        with open(root / "metrics.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if terminal.read(2.0):
            found.append(time.perf_counter() - began)
    return found


def watched_training(folder: Path, steps: int) -> tuple[float, float]:
    """(share of a default training's time that goes into logs and status, into probes), evaluations not counted."""
    from tuirnn.config import RunConfig
    from tuirnn.runs.writer import RunWriter
    from tuirnn.training import launch, observer

    spent = {"log": 0.0, "probe": 0.0, "look": 0.0}

    def timed(name, function):  # type: ignore[no-untyped-def]
        def wrapped(*args, **more):  # type: ignore[no-untyped-def]
            began = time.perf_counter()
            try:
                return function(*args, **more)
            finally:
                spent[name] += time.perf_counter() - began

        return wrapped

    RunWriter.append = timed("log", RunWriter.append)  # type: ignore[method-assign]
    RunWriter.status = timed("log", RunWriter.status)  # type: ignore[method-assign]
    observer.probe = timed("probe", observer.probe)
    observer.Observer.look = timed("look", observer.Observer.look)  # type: ignore[method-assign]
    began = time.perf_counter()
    launch.start(RunConfig().replace(steps=steps, device="cpu"), folder, "watched", lambda event: None)
    training = time.perf_counter() - began - spent["look"]
    return spent["log"] / training, spent["probe"] / training


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds, points = (2, 10_000) if options.quick else (options.rounds, 1_000_000)
    folder = Path(tempfile.mkdtemp(prefix="tuirnn-bench-"))
    rows: list[tuple[str, str, str]] = []

    def row(what: str, figure: str, bar: str) -> None:
        rows.append((what, figure, bar))
        print(f"{what:<52} {figure:<28} {bar}", flush=True)

    def each(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} s ({min(values):.2f}–{max(values):.2f})"

    try:
        root = make_run(folder, "long", points)
        print(f"3 series × {points:,} points, {(root / 'metrics.jsonl').stat().st_size / 1e6:.0f} MB, "
              f"pseudo-terminal 120×40, medians of {rounds} rounds\n")  # fmt: skip
        found = openings(folder, rounds)
        row("first bytes on the screen", each(found["first bytes"]), "≤ 0.6 s")
        row("first chart (a sketch of the whole), cold", each(found["first chart"]), "≤ 1.0 s")
        row("exact chart", each(found["exact"]), "soon after")
        terminal = Terminal(folder, "--run", "long")
        terminal.until(has_chart)
        terminal.settle(0.1)
        busy = keys(terminal, 1)
        row(
            "key → first bytes, while the log is read",
            f"{1e3 * statistics.median(busy):.1f} / {1e3 * percentile(busy, 0.95):.1f} ms",
            "median ≤ 20, 95 % ≤ 50 ms",
        )
        terminal.until(lambda text: not reading(text))
        terminal.press("0")
        terminal.settle(0.5)
        calm = keys(terminal, max(rounds, 3))
        row(
            f"key → first bytes, all read ({len(calm)} keys)",
            f"{1e3 * statistics.median(calm):.1f} / {1e3 * percentile(calm, 0.95):.1f} ms",
            "median ≤ 20, 95 % ≤ 50 ms",
        )
        terminal.press("0")
        pixels = record_to_pixel(terminal, root, points, 10 * rounds)
        row(
            f"record written → pixel ({len(pixels)} records)",
            f"{1e3 * statistics.median(pixels):.0f} / {1e3 * percentile(pixels, 0.95):.0f} ms",
            "95 % ≤ 300 ms",
        )
        terminal.settle(1.0)
        shares, written = [], 0
        for _ in range(rounds):
            before, began, length = terminal.cpu(), time.perf_counter(), len(terminal.text)
            while time.perf_counter() - began < 4:
                terminal.read(0.5)
            shares.append((terminal.cpu() - before) / (time.perf_counter() - began))
            written += len(terminal.text) - length
        row("idle on a live run", f"{100 * statistics.median(shares):.2f} %, {written} bytes", "≤ 1 %, 0 bytes")
        row("memory", f"{terminal.memory():.0f} MB", "≤ 130 MB")
        terminal.close()
        logs, probes = watched_training(folder, 20 if options.quick else 1000)
        row("training: logs and status", f"{100 * logs:.2f} %", "≤ 1 % together")
        row("training: probes", f"{100 * probes:.2f} %", "")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
