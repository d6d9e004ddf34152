"""A process of a training that never comes to an exchange of gradients: the others end and say which one, and where.

`TUIRNN_LONG=1` adds the leader, processes that the system has stopped, and steps that are merely long.
"""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from started import Started, begin, gone, long

from tuirnn.errors import LostError
from tuirnn.runs import checkpoint
from tuirnn.runs.reader import read_status
from tuirnn.training import launch
from tuirnn.training.hangs import behind, told_of

HANGING = """
import os

if "RANK" in os.environ:
    import threading, time
    from tuirnn.training import hangs
    from tuirnn.training.learner import Learner

    hangs.TICK, hangs.TELL_AFTER, hangs.LEAST, hangs.GRACE = 0.1, 0.2, {least}, 0.5
    step, taken = Learner.training_step, 0

    def hanging(self, rate):
        global taken
        taken += 1
        if taken == 61 and os.environ["RANK"] in "{ranks}":
            {instead}
        return step(self, rate)

    Learner.training_step = hanging
"""
HANGS, STOPPED, SLEEPS = "threading.Event().wait()", "os.kill(os.getpid(), 19)", "time.sleep(2)"


def begin_hanging(
    folder: Path, source: Path, environment: dict[str, str], ranks: str, instead: str, least: float = 1.0, **more: Any
) -> Started:
    """Processes some of which do something else in step 61; `least`: seconds that are waited for one."""
    (folder / "sitecustomize.py").write_text(HANGING.format(ranks=ranks, instead=instead, least=least))
    path = os.pathsep.join([str(folder), *filter(None, [environment.get("PYTHONPATH")])])
    return begin(folder, source, {**environment, "PYTHONPATH": path}, **{"processes": 3, **more})


@pytest.mark.parametrize(
    ("rank", "instead"),
    [(1, HANGS), *(pytest.param(*case, marks=long) for case in ((2, HANGS), (0, HANGS), (2, STOPPED), (0, STOPPED)))],
)
def test_a_process_that_hangs_ends_the_training_which_goes_on_without_it(
    rank: int, instead: str, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    """It breaks no connection: it lives, and never comes to the exchange."""
    size = 2 if (rank, instead) == (1, HANGS) else 3
    run = begin_hanging(tmp_path, small_text, environment, str(rank), instead, processes=size)
    run.until_step(60)
    pids = run.workers()
    try:
        code, said, _ = run.ended(90)
    except subprocess.TimeoutExpired:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        raise
    assert (code, said.count("\n")) == (LostError.exit_code, 1), said
    line = rf"tuirnn: process {rank + 1} of {size} hangs in step 61: the others have waited \d+ s for it; the last good"
    assert re.match(line, said), said
    assert all(gone(pid) for pid in pids)
    status = read_status(run.paths)
    assert status.state == "failed"
    assert status.message in said
    assert checkpoint.load(run.paths, "last").step == 50
    assert launch.resume(run.paths, {"processes": 1, "steps": 70}, lambda event: None) == "done"


@long
@pytest.mark.parametrize(("ranks", "least"), [("012", 1.0), ("1", 3.0)])
def test_a_step_that_is_merely_long_ends_nothing(
    ranks: str, least: float, tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    """All sleep for longer than the limit, or one of them for not as long."""
    run = begin_hanging(tmp_path, small_text, environment, ranks, SLEEPS, least, steps=70)
    assert run.ended(90)[:2] == (0, "")
    assert read_status(run.paths).state == "done"


@given(st.lists(st.integers(-1, 5), min_size=2, max_size=6))
def test_those_hang_that_have_come_less_far_than_another(reached: list[int]) -> None:
    hung = behind(dict(enumerate(reached)))
    assert hung == [rank for rank, number in enumerate(reached) if number < max(reached)]
    if hung:
        said = told_of(hung, len(reached), 7, 120.4)
        assert [int(word) - 1 for word in re.findall(r"\d+", said.split(" of ")[0])] == hung
        assert said.endswith(f"step 7: the others have waited 120 s for {'it' if len(hung) == 1 else 'them'}")
