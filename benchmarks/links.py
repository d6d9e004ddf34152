"""What the network costs a training on several hosts: two hosts on this machine, joined by a link of a chosen rate.

    sudo python benchmarks/links.py TEXT [--rates 1000,200,50] [--steps 12] [further words of `tuirnn train`]

Each host is a network namespace with a process of one thread; `tc` limits their link. For each rate the median time of
a step stands beside the model of docs/scaling.md: the step of one process with its part of the batch, plus the bytes
that a host receives over the link's rate. Needs root, iproute2 and two cores. Prints a table, or JSON with --json.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record

HOSTS, ADDRESSES = ("tuirnn-link-1", "tuirnn-link-2"), ("10.213.9.1", "10.213.9.2")

FIRST = 3
"""Steps that are not counted: buffers are allocated, and gradients grouped anew, in them."""


def call(*words: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def linked(megabits: float) -> Iterator[None]:
    """Two namespaces, joined by a link of this rate in each direction."""
    try:
        for host in HOSTS:
            call("ip", "netns", "add", host)
        call("ip", "-n", HOSTS[0], "link", "add", "name", "wire", "type", "veth", "peer", "name", "wire",
             "netns", HOSTS[1])  # fmt: skip
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            call("ip", "-n", host, "addr", "add", f"{address}/24", "dev", "wire")
            call("ip", "-n", host, "link", "set", "wire", "up")
            call("ip", "-n", host, "link", "set", "lo", "up")
            call("ip", "netns", "exec", host, "tc", "qdisc", "add", "dev", "wire", "root", "tbf",
                 "rate", f"{megabits}mbit", "burst", "256kb", "latency", "200ms")  # fmt: skip
        yield
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "del", host], check=False, stderr=subprocess.DEVNULL)


def environment() -> dict[str, str]:
    """One thread for each process; gloo talks over the link."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "wire"}


def step_time(paths: RunPaths) -> float:
    """Median seconds of a step."""
    records = [record for record in LogTail(paths.metrics).read() if record["split"] == "train"]
    elapsed = [record["elapsed"] for record in records][FIRST:]
    return statistics.median(b - a for a, b in itertools.pairwise(elapsed))


def alone(folder: Path, words: Sequence[str], batch: int) -> RunPaths:
    """A run of one process with one thread."""
    name = f"alone-{batch}"
    call(sys.executable, "-m", "tuirnn", "train", *words, "--batch-size", str(batch),
         "--runs", str(folder), "--name", name)  # fmt: skip
    return RunPaths(folder / name)


def together(folder: Path, words: Sequence[str], batch: int, megabits: float) -> RunPaths:
    """A run of both hosts."""
    name = f"link-{megabits:g}"
    with linked(megabits):
        started = [
            subprocess.Popen(
                ["ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2",
                 "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:29400",
                 "--rdzv-id", name, "--local-addr", address, "--rdzv-conf", f"is_host={host == HOSTS[0]}",
                 "-m", "tuirnn", "train", *words, "--batch-size", str(batch), "--runs", str(folder), "--name", name],
                env=environment(), stdout=subprocess.DEVNULL,
            )
            for host, address in zip(HOSTS, ADDRESSES, strict=True)
        ]  # fmt: skip
        ended = [process.wait() for process in started]
        if any(ended):
            raise SystemExit(f"a process ended badly at {megabits:g} Mbit/s")
    return RunPaths(folder / name)


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--rates", default="1000,200,50", help="megabits a second")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    asked, more = parser.parse_known_args()
    words = [str(asked.text.resolve()), "--steps", str(asked.steps), "--eval-every", "100000", "--device", "cpu", *more]
    os.environ |= {"OMP_NUM_THREADS": "1"}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        whole = alone(folder, words, asked.batch_size)
        half = step_time(alone(folder, words, asked.batch_size // 2))
        parameters = read_record(whole).parameters
        for rate in map(float, asked.rates.split(",")):
            sent = 4 * parameters * 8 / (rate * 1e6)
            measured = step_time(together(folder, words, asked.batch_size, rate))
            rows.append({"megabits": rate, "measured": measured, "model": half + sent, "link": sent})
        found = {"parameters": parameters, "one process": step_time(whole), "half the batch": half, "rows": rows}
    if asked.json:
        print(json.dumps(found))
        return
    whole_step = 1e3 * found["one process"]
    print(f"{parameters:,} parameters; one process {whole_step:.0f} ms a step, half the batch {1e3 * half:.0f}")
    for row in rows:
        print(f"{row['megabits']:6g} Mbit/s  {1e3 * row['measured']:7.0f} ms   model {1e3 * row['model']:7.0f} ms   "
              f"of them the link {1e3 * row['link']:6.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
