"""One training shared by several processes: is it the same, how fast is it, and how does it end when one is killed?

    python benchmarks/processes.py [--steps 200] [--processes 1,2,3] [further words of `tuirnn train`]

Trains the same run once with each number of processes and holds every loss and weight against those of the first
number, and against one process that goes through each batch in as many parts (`--accumulate`), so that sums are taken
in the same order; then kills a process of each kind in the middle of a run, and resumes it with another number. Prints
two tables. Differences are relative, those of weights by their norms: all parameters together, and the worst of them.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_status


def start(folder: Path, name: str, words: list[str]) -> "subprocess.Popen[str]":
    """`tuirnn train` with its events on a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuirnn", "train", *words, "--runs", str(folder), "--name", name, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def events(process: "subprocess.Popen[str]") -> Any:
    """The training's events as they come."""
    assert process.stdout is not None
    return map(json.loads, process.stdout)


def differences(one: RunPaths, other: RunPaths) -> dict[str, float]:
    """Relative: the largest of all training losses, the last one, held out, all weights, the worst parameter."""
    import torch
    from safetensors.torch import load

    logs = [LogTail(paths.metrics).read() for paths in (one, other)]
    ours, theirs = ([r["loss"] for r in log if r["split"] == "train"] for log in logs)
    losses = [abs(a - b) / abs(a) for a, b in zip(ours, theirs, strict=True)]
    held = [abs(a["loss"] - b["loss"]) / a["loss"] for a, b in zip(*logs, strict=True) if a["split"] == "val"]
    first, second = (load(checkpoint.load(paths, "last").files[checkpoint.MODEL]) for paths in (one, other))
    flat = [torch.cat([w[name].double().flatten() for name in first]) for w in (first, second)]
    each = [float((first[n] - second[n]).double().norm() / first[n].double().norm()) for n in first]
    all_weights = float((flat[0] - flat[1]).norm() / flat[0].norm())
    return {"loss": max(losses), "last": losses[-1], "held": max(held), "weights": all_weights, "worst": max(each)}


def compare(folder: Path, counts: list[int], words: list[str]) -> None:
    """The first table."""
    print("| processes | tokens/s | against | a training loss, at most | the last | held out | weights | worst |")
    print("|---|---|---|---|---|---|---|---|")
    first, _ = trained(folder, "first", [*words, "--processes", str(counts[0])])
    for count in counts[1:]:
        paths, speed = trained(folder, f"shared-{count}", [*words, "--processes", str(count)])
        parts, _ = trained(folder, f"parts-{count}", [*words, "--accumulate", str(count)])
        for label, other in ((f"{counts[0]}", first), (f"1, in {count} parts", parts)):
            figures = " | ".join(f"{value:.1e}" for value in differences(other, paths).values())
            print(f"| {count} | {speed:,.0f} | {label} | {figures} |", flush=True)


def trained(folder: Path, name: str, words: list[str]) -> tuple[RunPaths, float]:
    """A run to its end, and its tokens a second."""
    process = start(folder, name, words)
    *_, end = events(process)
    if process.wait():
        raise SystemExit(process.stderr.read() if process.stderr else "")
    return RunPaths(folder / name), end["tokens_per_s"]


def kill(folder: Path, words: list[str]) -> None:
    """The second table."""
    print("\n| killed | seconds to the end | stderr | the run says | last checkpoint, whole | resumed with |")
    print("|---|---|---|---|---|---|")
    for which, again in (("a follower", 1), ("the leader", 3)):
        name = which.split()[1]
        process = start(folder, name, [*words, "--processes", "2", "--checkpoint-every", "20"])
        next(event for event in events(process) if event["event"] == "step" and event["step"] == 50)
        paths = RunPaths(folder / name)
        leader = read_status(paths).pid
        listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
        victim = leader if name == "leader" else next(pid for pid in map(int, listed.stdout.split()) if pid != leader)
        began = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        _, said = process.communicate()
        seconds = time.monotonic() - began
        kept = checkpoint.load(paths, "last").step
        resumed = subprocess.run(
            [sys.executable, "-m", "tuirnn", "train", "--resume", name, "--runs", str(folder), "--steps", "70",
             "--processes", str(again)], capture_output=True, text=True, check=False,
        )  # fmt: skip
        status = read_status(paths)
        message = next(e for e in LogTail(paths.events).read() if e["event"] == "end")["message"]
        ended = f"{again}: {status.state} at step {status.step}" if not resumed.returncode else resumed.stderr.strip()
        print(f"| {which} | {seconds:.2f} | {said.strip()} | {message} | step {kept} | {ended} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--processes", default="1,2,3")
    chosen, words = parser.parse_known_args()
    words = [*(words or ["shakespeare"]), "--device", "cpu"]
    with tempfile.TemporaryDirectory() as folder:
        every = ["--steps", str(chosen.steps), "--eval-every", str(max(1, chosen.steps // 2))]
        compare(Path(folder), [int(word) for word in chosen.processes.split(",")], [*words, *every])
        kill(Path(folder), [*words, "--steps", "100000", "--eval-every", "100000"])


if __name__ == "__main__":
    main()
