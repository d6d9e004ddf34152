"""A sweep on a Ray cluster: 24 runs on two nodes, one of which is killed; the same results as here, to the bit."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait

from tuirnn.config import RunConfig
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths, run_names
from tuirnn.runs.reader import LogTail, read_status
from tuirnn.sweeping.ordered import Ordered
from tuirnn.sweeping.space import parse

pytestmark = pytest.mark.skipif(not os.environ.get("TUIRNN_LONG"), reason="TUIRNN_LONG=1")

COUNT = 24


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """A head and a second node, as processes of this machine; yields the cluster and the second node."""
    utils = pytest.importorskip("ray.cluster_utils")
    paths = [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    second = made.add_node(num_cpus=2, object_store_memory=80_000_000)
    yield made, second
    made.shutdown()


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def order_for(folder: Path, source: Path, **changes: Any) -> Ordered:
    settings = {"hidden": 16, "embed": 8, "steps": 400, "batch_size": 4, "seq_len": 16, "sample_length": 0,
                "eval_every": 100, "checkpoint_every": 50, "device": "cpu", "sources": (str(source),)}  # fmt: skip
    axes = {"lr": parse("lr", "log:1e-3..1e-2"), "seed": parse("seed", "0..9")}
    base = RunConfig().replace(**settings)
    return Ordered(base=base, axes=axes, stem="s", folder=folder, search="random", trials=COUNT, seed=3, **changes)


def test_a_node_is_killed(tmp_path: Path, small_text: Path, cluster: tuple[Any, Any]) -> None:
    _, second = cluster
    said: list[str] = []
    raylet = second.all_processes["raylet"][0].process.pid

    def lose_node() -> None:
        """Everything of the second node, its trainers too, as when a machine loses its power."""
        wait(lambda: sum(" is done" in line for line in said) >= 4 and any(trainers(raylet)), 300)
        for pid in [raylet, *descendants(raylet)]:
            os.kill(pid, signal.SIGKILL)

    def trainers(raylet: int) -> list[int]:
        live = [read_status(RunPaths(tmp_path / "ray" / name)) for name in run_names(tmp_path / "ray")]
        return [status.pid for status in live if status.live and status.pid in descendants(raylet) and status.step]

    killer = threading.Thread(target=lose_node)
    killer.start()
    done = order_for(tmp_path / "ray", small_text, on="ray").train(said.append)
    killer.join()
    assert done.failed == {}
    assert said[0] == "2 machines with room for 3 runs, 3 at a time"
    assert any("has lost its worker" in line for line in said), said
    here = order_for(tmp_path / "here", small_text, jobs=2).train(lambda line: None)
    assert here.failed == {}
    assert len(here.points) == len(done.points) == COUNT
    resumed = 0
    for point in here.points:
        one, other = RunPaths(tmp_path / "ray" / point.name), RunPaths(tmp_path / "here" / point.name)
        mine, theirs = checkpoint.load(one, "last"), checkpoint.load(other, "last")
        assert mine.files[checkpoint.MODEL] == theirs.files[checkpoint.MODEL]
        assert losses(one) == losses(other)
        resumed += "resume" in [event["event"] for event in LogTail(one.events).read()]
    assert resumed >= 1, "the runs of the lost node went on from their checkpoints"


def losses(paths: RunPaths) -> list[tuple[str, int, float]]:
    """Every loss of a run, with its step."""
    return [(record["split"], record["step"], record["loss"]) for record in LogTail(paths.metrics).read()]
