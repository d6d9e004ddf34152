"""A training on two hosts, each in a network namespace of its own, whose link is cut while they train.

Network namespaces need root and iproute2; `TUIRNN_LONG=1` runs the tests where both are there.
"""

import contextlib
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from started import Started, begin, gone, long, rank_of, same

from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths

pytestmark = long

ADDRESSES = ("10.213.7.1", "10.213.7.2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """The names of two namespaces with a link, which both of them call `wire`."""
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2")
    mark = uuid.uuid4().hex[:6]
    first, second = names = (f"tuirnn-{mark}-1", f"tuirnn-{mark}-2")
    try:
        try:
            ip("netns", "add", first)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces: {error.stderr.decode().strip()}")
        ip("netns", "add", second)
        ip("-n", first, "link", "add", "name", "wire", "type", "veth", "peer", "name", "wire", "netns", second)
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)


def start(
    hosts: tuple[str, str], folder: Path, source: Path, environment: dict[str, str], *words: str, steps: int
) -> list[Started]:
    """One torchrun on each host; the host of their store is the first."""
    started = []
    for host, address in zip(hosts, ADDRESSES, strict=True):
        launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "1", "--rdzv-backend", "c10d",
                    "--rdzv-endpoint", f"{ADDRESSES[0]}:29400", "--rdzv-id", "seven", "--local-addr", address,
                    "--rdzv-conf", f"is_host={host == hosts[0]},last_call_timeout=5", *words)  # fmt: skip
        inside = ("ip", "netns", "exec", host)
        variables = {**environment, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "wire"}
        started.append(begin(folder, source, variables, launcher, inside, steps=steps, eval_every=90))
    until = time.monotonic() + 60
    while not all(host.workers() for host in started) and time.monotonic() < until:
        time.sleep(0.2)
    return started


def leader(started: list[Started]) -> Started:
    """The one whose process has rank 0 and prints the events."""
    return min(started, key=lambda host: rank_of(host.workers()[0]))


def stop(started: list[Started]) -> None:
    for host in started:
        subprocess.run(["pkill", "-9", "-P", str(host.process.pid)], check=False)
        host.process.kill()
        host.process.wait()


def test_hosts_whose_link_is_cut_end_and_the_job_resumes_when_it_is_back(
    hosts: tuple[str, str], single: RunPaths, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    started = start(hosts, tmp_path, small_text, environment, "--nnodes", "2", steps=200)
    try:
        workers = [host.workers()[0] for host in started]
        leader(started).until_step(60)
        ip("-n", hosts[1], "link", "set", "wire", "down")
        assert all(gone(pid, within=30) for pid in workers)
    finally:
        stop(started)
    assert checkpoint.load(started[0].paths, "last").step >= 50
    ip("-n", hosts[1], "link", "set", "wire", "up")
    started = start(hosts, tmp_path, small_text, environment, "--nnodes", "2", steps=200)
    try:
        for host in started:
            code, said, _ = host.ended(60)
            assert code == 0, said
    finally:
        stop(started)
    same(single, started[0].paths)


def test_the_host_that_is_left_goes_on_alone(
    hosts: tuple[str, str], tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    words = ("--nnodes", "1:2", "--max-restarts", "3")
    started = start(hosts, tmp_path, small_text, environment, *words, steps=2000)
    try:
        leader(started).until_step(60)
        ip("-n", hosts[1], "link", "set", "wire", "down")
        code, said, _ = started[0].ended(240)
        assert code == 0, said
        events = started[0].events
        assert events[-1]["step"] == 2000
        assert [event["processes"] for event in events if event["event"] == "start"][-1] == 1
    finally:
        stop(started)
