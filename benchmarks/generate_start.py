"""How long until a trained network writes: `tuirnn generate RUN --length 1`, the first time and the second.

    tuirnn train --recipe demo --hidden 208 --steps 20 --eval-every 20 --name start
    python benchmarks/generate_start.py checkpoints/start

The first call exports the run's checkpoint, the second finds the export. Each round removes the kept exports and runs
both. Three figures for each: seconds until the first character can be read, seconds until the process has ended, and
seconds of the processor, which other work on the machine changes least. Medians of the rounds; beside them what no
program with these libraries can undercut, and two commands that run no network.
"""

import argparse
import importlib.metadata
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tuirnn.loading.cell import load_cell

Seconds = tuple[float, float, float]
"""Until the first character, until the end, and of the processor."""

LIBRARIES = ("tuirnn", "typer", "numpy", "onnxruntime-gpu", "onnxruntime", "onnx")


def start(words: list[str], environment: Mapping[str, str]) -> Seconds:
    """Run a command of this interpreter; its standard output is read as soon as there is any."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        first = time.perf_counter() - began
        process.stdout.read()
    ended = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with exit code {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return first, ended, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def versions() -> str:
    """The versions of what is loaded."""
    found = [f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor() or platform.machine()}"


def main() -> None:
    """Measure in rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    options = parser.parse_args()
    folder, name = options.run.resolve().parent, options.run.name
    with tempfile.TemporaryDirectory() as cache:
        kept = Path(cache) / "cells"
        os.environ["TUIRNN_KNOWN_CELLS"] = str(kept / "known-cells.txt")
        environment = {**os.environ, "TUIRNN_RUNS": str(folder)}
        if environment.pop("PYTHONDONTWRITEBYTECODE", ""):  # a user's Python keeps compiled modules
            environment["PYTHONPYCACHEPREFIX"] = str(Path(cache) / "compiled")
        print(f"{processor()}; {versions()}")
        print(f"cell of {len(load_cell(name, folder).data):,} bytes; medians of {options.rounds} rounds, in seconds")
        tuirnn = ["-m", "tuirnn"]
        generate = [*tuirnn, "generate", name, "--length", "1", "--seed", "1"]

        def generate_anew() -> Seconds:
            shutil.rmtree(kept)
            return start(generate, environment)

        calls: dict[str, Callable[[], Seconds]] = {
            "generate RUN, the first time": generate_anew,
            "generate RUN, the second time": lambda: start(generate, environment),
            "Python, numpy and ONNX Runtime": lambda: start(
                ["-c", "import numpy.random, onnxruntime; print()"], environment
            ),
            "tuirnn runs ls": lambda: start([*tuirnn, "runs", "ls"], environment),
            "tuirnn --help": lambda: start([*tuirnn, "--help"], environment),
        }
        for call in calls.values():
            call()  # compiled modules and libraries, the file system's cache
        rounds = [{label: call() for label, call in calls.items()} for _ in range(options.rounds)]
    medians = {label: [statistics.median(one[label][which] for one in rounds) for which in range(3)] for label in calls}
    print(f"{'':<32} first character    end  processor")
    for label, (first, ended, processor_seconds) in medians.items():
        print(f"{label:<32} {first:>15.3f} {ended:>6.3f} {processor_seconds:>10.3f}")
    anew, again = list(medians.values())[:2]
    ratios = [one / other for one, other in zip(anew, again, strict=True)]
    print("the first time over the second:  {:>14.2f} {:>6.2f} {:>10.2f}".format(*ratios))


if __name__ == "__main__":
    main()
