"""The dashboard's performance in a real pseudo-terminal of 120×40, as one table.

    .venv/bin/python benchmarks/dashboard.py [--rounds 5] [--quick] [--only open keys …] [--folder FOLDER]

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
from collections.abc import Sequence
from pathlib import Path

KEYS = ("\x1b[D", "\x1b[C", "+", "-", "y", "m", "u", "[", "]", "1", "2", "+", "0")
"""Each changes something on the screen; a key that does not would be timed by whatever is drawn next."""
BRAILLE = range(0x2801, 0x2900)
PARTS = ("open", "keys", "pixel", "idle", "training")
BLOCK = 20
"""Training steps with logs, and then as many without."""


class Terminal:
    """`tuirnn` on a pseudo-terminal; `text` is all that it has written so far."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.began = time.perf_counter()
        command = [sys.executable, "-m", "tuirnn", "--runs", str(folder), *words]
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: compiled once
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


def write_status(root: Path, points: int) -> None:
    """This process stands for the trainer."""
    status = {"state": "running", "pid": os.getpid(), "host": socket.gethostname(), "step": points}
    (root / "status.json").write_text(json.dumps({**status, "heartbeat": time.time()}))


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
    write_status(root, points)
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
    with open(root / "samples.jsonl", "w") as file:
        for step in range(points // 20, points + 1, points // 20):
            file.write(json.dumps({"step": step, "kind": "sample", "text": f"written at step {step}. " * 20}) + "\n")
    for log in ("probes", "events"):
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
    """Whether the newest title of the chart says that it is a preview, or there is none yet."""
    titles = re.findall(r"(preview, \d+ % read · )?by step", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[-200_000:]))
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
    """What a default training spends on being watched, as shares of its time: (logs and status, probes).

    Logs: blocks of steps with and without them take turns, and the medians are compared. Probes, which come with
    an evaluation, are timed themselves, against the steps from one evaluation to the next.
    """
    from tuirnn.config import RunConfig
    from tuirnn.runs.writer import RunWriter
    from tuirnn.training import evaluator, launch

    append, status, probe = RunWriter.append, RunWriter.status, evaluator.probe
    took: dict[bool, list[float]] = {True: [], False: []}
    probes: list[float] = []
    began, steps_seen, clean = time.perf_counter(), 0, False

    def logs() -> bool:
        return steps_seen // BLOCK % 2 == 0

    def appended(self, log, *records):  # type: ignore[no-untyped-def]
        nonlocal began, steps_seen, clean
        if log != "metrics" or records[0]["split"] != "train":  # an evaluation: this block counts for nothing
            clean = False
            return append(self, log, *records)
        if logs():
            append(self, log, *records)
        steps_seen += 1
        if steps_seen % BLOCK == 0:
            now = time.perf_counter()
            if clean:
                took[not logs()].append((now - began) / BLOCK)
            began, clean = now, True

    def probed(*args):  # type: ignore[no-untyped-def]
        started = time.perf_counter()
        found = probe(*args)
        probes.append(time.perf_counter() - started)
        return found

    RunWriter.append = appended  # type: ignore[method-assign]
    RunWriter.status = lambda self, now: status(self, now) if logs() else None  # type: ignore[method-assign]
    evaluator.probe = probed
    config = RunConfig().replace(steps=steps, device="cpu")
    launch.start(config, folder, "watched", lambda event: None)
    with_logs, without = statistics.median(took[True]), statistics.median(took[False])
    between = min(config.train.eval_every, steps)
    return with_logs / without - 1, statistics.median(probes) / (between * without)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these rows of the table")
    parser.add_argument("--folder", type=Path, help="make the long run here, or use the one that is there")
    options = parser.parse_args()
    rounds, points = (2, 10_000) if options.quick else (options.rounds, 1_000_000)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="tuirnn-bench-"))
    try:
        root = folder / "long"
        if not root.exists():
            make_run(folder, "long", points)
        write_status(root, points)
        print(f"3 series × {points:,} points, {(root / 'metrics.jsonl').stat().st_size / 1e6:.0f} MB, "
              f"pseudo-terminal 120×40, medians of {rounds} rounds\n")  # fmt: skip
        if "open" in options.only:
            report_openings(folder, rounds)
        if {"keys", "pixel", "idle"} & set(options.only):
            report_session(folder, root, points, rounds, options.only)
        if "training" in options.only:
            logs, probes = watched_training(Path(tempfile.mkdtemp(dir=folder)), 200 if options.quick else 1200)
            row("training slowed by logs and status", f"{100 * logs:.2f} %", "≤ 1 % together")
            row("training slowed by probes", f"{100 * probes:.2f} %", "")
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)


def row(what: str, figure: str, bar: str) -> None:
    """A line of the table."""
    print(f"{what:<52} {figure:<28} {bar}", flush=True)


def spread(values: list[float]) -> str:
    """Median and range in seconds."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f}–{max(values):.2f})"


def median_and_95(values: list[float]) -> str:
    """Both in milliseconds."""
    return f"{1e3 * statistics.median(values):.1f} / {1e3 * percentile(values, 0.95):.1f} ms"


def report_openings(folder: Path, rounds: int) -> None:
    """The rows on cold starts."""
    found = openings(folder, rounds)
    row("first bytes on the screen", spread(found["first bytes"]), "≤ 0.6 s")
    row("first chart (a preview of the whole), cold", spread(found["first chart"]), "≤ 1.0 s")
    row("exact chart", spread(found["exact"]), "soon after")


def report_session(folder: Path, root: Path, points: int, rounds: int, only: Sequence[str]) -> None:
    """The rows on one dashboard that stays open."""
    terminal = Terminal(folder, "--run", "long")
    terminal.until(has_chart)
    terminal.settle(0.1)
    if "keys" in only:
        busy = keys(terminal, 2)
        row(f"key → first bytes, while the log is read ({len(busy)} keys)", median_and_95(busy), "≤ 20 / ≤ 50 ms")
    terminal.until(lambda text: not reading(text))
    terminal.press("0")
    terminal.settle(0.5)
    if "keys" in only:
        calm = keys(terminal, max(rounds, 3))
        row(f"key → first bytes, all read ({len(calm)} keys)", median_and_95(calm), "≤ 20 / ≤ 50 ms")
        terminal.press("0")
    if "pixel" in only:
        pixels = record_to_pixel(terminal, root, points, 10 * rounds)
        row(f"record written → pixel ({len(pixels)} records)", median_and_95(pixels), "95 % ≤ 300 ms")
    if "idle" in only:
        share, written = idle(terminal, rounds)
        row("idle on a live run", f"{100 * share:.2f} %, {written} bytes", "≤ 1 %, 0 bytes")
    row("memory", f"{terminal.memory():.0f} MB", "≤ 130 MB")
    terminal.close()


def idle(terminal: Terminal, rounds: int) -> tuple[float, int]:
    """(median share of a processor, bytes written) of a few stretches in which nothing happens."""
    terminal.settle(1.0)
    shares, length = [], len(terminal.text)
    for _ in range(rounds):
        before, began = terminal.cpu(), time.perf_counter()
        while time.perf_counter() - began < 4:
            terminal.read(0.5)
        shares.append((terminal.cpu() - before) / (time.perf_counter() - began))
    return statistics.median(shares), len(terminal.text) - length


if __name__ == "__main__":
    main()
