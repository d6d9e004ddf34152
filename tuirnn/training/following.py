"""A process that shares the batches of a training which another one leads: it writes nothing and says nothing."""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from tuirnn import tasks
from tuirnn.errors import DataError
from tuirnn.files import to_json
from tuirnn.models import COMPUTE_DTYPES
from tuirnn.runs.checkpoint import MODEL, OPTIMIZER, TRAINER, Checkpoint
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.reader import RunRecord, parse_record
from tuirnn.shortage import RAN_OUT, shortage
from tuirnn.training.choosing import use_choice
from tuirnn.training.devices import keep_freed_memory, pick_device
from tuirnn.training.learner import Learner
from tuirnn.training.member import Member, under_command
from tuirnn.training.recorder import record_failure, resume_advice
from tuirnn.training.signals import LEADER_LOST, LEAVING
from tuirnn.training.team import Alone, Order, Team, connection_broke

NEEDED = (MODEL, OPTIMIZER, TRAINER)


def introduce(team: Alone, record: RunRecord, paths: RunPaths, sha256: str) -> None:
    """Tell the others what is trained: the run's record, its directory, and the hash of its data."""
    team.send(to_json({"record": record.to_json(), "run": str(paths.root.resolve()), "data": sha256}))


def share_checkpoint(team: Alone, saved: Checkpoint) -> None:
    """Have the others go on from a checkpoint as well; they read no files of the run."""
    team.order(Order.RESTORE, 0)
    team.send(str(saved.path).encode())
    for name in NEEDED:
        team.send(saved.files[name])


def follow(member: Member) -> None:
    """Do as the leader says until it says that this is all.

    Raises:
        DataError: the data that the leader trains on are not the same here.
    """
    for number in LEAVING:
        signal.signal(number, signal.SIG_DFL)  # until it has joined, it may end at any time
    keep_freed_memory()
    run: RunPaths | None = None
    try:
        team = Team(member)
        for number in LEAVING:
            signal.signal(number, signal.SIG_IGN)  # they are for the leader to answer
        team.on_silence(lambda lost: _report_lost_leader(member, run, lost, silent=True))
        told = json.loads(team.receive())
        run = RunPaths(Path(told["run"]))
        learner = _learner(team, parse_record(told["record"], f"run '{run.name}'"), run, told["data"])
        while (said := team.listen())[0] is not Order.SHUTDOWN:
            _obey(said, team, learner)
        with contextlib.suppress(RuntimeError):  # the leader may have parted already
            team.part()
    except Exception as error:
        if short := shortage(error):
            print(f"tuirnn: process {member.rank + 1} of {member.size}: {short}", file=sys.stderr, flush=True)
            os._exit(RAN_OUT)
        if not connection_broke(error):
            raise
        _leave(member, run)


def _learner(team: Team, record: RunRecord, run: RunPaths, sha256: str) -> Learner:
    device = pick_device(record.config.train.device, team.member)
    data = tasks.load(record.config.data, vocab=record.vocab, known=record.data, stdin=run.stdin)
    if data.sha256 != sha256:
        raise DataError(f"process {team.member.rank + 1} reads other data than the first; give all the same")
    use_choice(record)
    learner = Learner(record.computed, data, team, device, lambda _: None)
    if learner.model.compute_dtype != COMPUTE_DTYPES[learner.config.train.dtype]:
        print(
            f"tuirnn: process {team.member.rank + 1} of {team.member.size} computes in float32, as its processor has "
            f"no products of {learner.config.train.dtype}; the others may differ",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return learner


def _obey(said: tuple[Order, float], team: Team, learner: Learner) -> None:
    order, value = said
    if order is Order.STEP:
        learner.training_step(value)
    elif order is Order.GATHER_STATE:
        learner.show()
    elif order is Order.RESTORE:
        path = Path(team.receive().decode())
        learner.restore(Checkpoint(path, {name: team.receive() for name in NEEDED}))


def _leave(member: Member, run: RunPaths | None) -> NoReturn:
    """End this process, as a connection has broken: the leader has gone, or another follower, which the leader says."""
    if line := _report_lost_leader(member, run, f"the first of {member.size} processes has ended"):
        print(f"tuirnn: {line}", file=sys.stderr, flush=True)
    os._exit(LEADER_LOST)


def _report_lost_leader(member: Member, run: RunPaths | None, lost: str, *, silent: bool = False) -> str:
    """Write into the run that its leader was lost, in the first process of those left; returns the line to say.

    Nothing is to be said where the leader said so itself, or lives, unless it is `silent` or hangs. Under the command
    the line is for the process that has started this one, which writes into the run when all have ended.
    """
    first = member.rank == 1 or (member.local_rank == 0 and member.local_size < member.size)
    if run is None or not first:
        return ""
    if under_command():
        return lost if silent else ""
    closed = not is_run(run.root) or record_failure(run, lost)
    return f"{lost}; {resume_advice(run)}" if closed or silent else ""
