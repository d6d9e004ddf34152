"""A process that shares the batches of a training which another one leads: it writes nothing and says nothing."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

from tuirnn import tasks
from tuirnn.errors import DataError, RunError
from tuirnn.files import to_json
from tuirnn.runs.checkpoint import MODEL, OPTIMIZER, TRAINER, Checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, Status, parse_record, written_status
from tuirnn.runs.writer import RunWriter
from tuirnn.shortage import RAN_OUT, shortage
from tuirnn.training.devices import keep_freed_memory, pick_device
from tuirnn.training.learner import Learner
from tuirnn.training.place import MEETING, Place
from tuirnn.training.signals import LEAVING
from tuirnn.training.team import Alone, Order, Team, connection_broke

NEEDED = (MODEL, OPTIMIZER, TRAINER)
TO_DIE = 5.0
"""Seconds that the system takes at most to free the lock of a leader whose connection has broken."""


def introduce(team: Alone, record: RunRecord, paths: RunPaths, sha256: str) -> None:
    """Tell the others what is trained: the run's record, its directory, and the hash of its data."""
    team.send(to_json({"record": record.to_json(), "run": str(paths.root.resolve()), "data": sha256}))


def share_checkpoint(team: Alone, saved: Checkpoint) -> None:
    """Have the others go on from a checkpoint as well; they read no files of the run."""
    team.order(Order.RESTORE)
    team.send(str(saved.path).encode())
    for name in NEEDED:
        team.send(saved.files[name])


def follow(place: Place) -> None:
    """Do as the leader says until it says that this is all.

    Raises:
        DataError: the data that the leader trains on are not the same here.
    """
    for number in LEAVING:
        signal.signal(number, signal.SIG_IGN)  # they are for the leader to answer
    witness = _Witness(place)
    if MEETING in os.environ:
        threading.Thread(target=witness.watch, daemon=True).start()
    keep_freed_memory()
    try:
        team = Team(place)
        learner = _learner(team, witness)
        while (said := team.listen())[0] is not Order.LEAVE:
            _obey(said, team, learner)
        team.part()
    except Exception as error:
        if short := shortage(error):
            print(f"tuirnn: process {place.rank + 1} of {place.size}: {short}", file=sys.stderr, flush=True)
            os._exit(RAN_OUT)
        if not connection_broke(error):
            raise
        witness.leader_has_gone()


def _learner(team: Team, witness: "_Witness") -> Learner:
    told = json.loads(team.receive())
    witness.run = paths = RunPaths(Path(told["run"]))
    record = parse_record(told["record"], f"run '{paths.name}'")
    device = pick_device(record.config.train.device, team.place)
    data = tasks.load(record.config.data, vocab=record.vocab, known=record.data, stdin=paths.stdin)
    if data.sha256 != told["data"]:
        raise DataError(f"process {team.place.rank + 1} reads other data than the first; give all the same")
    return Learner(record.config, data, team, device, lambda _: None)


def _obey(said: tuple[Order, float], team: Team, learner: Learner) -> None:
    order, value = said
    if order is Order.STEP:
        learner.training_step(value)
    elif order is Order.SHOW:
        learner.show()
    elif order is Order.RESTORE:
        path = Path(team.receive().decode())
        learner.restore(Checkpoint(path, {name: team.receive() for name in NEEDED}))


class _Witness:
    """Sees that the leader has gone without a word; the first of those left then says so, on stderr and in the run."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.run: RunPaths | None = None
        self._once = threading.Lock()

    def watch(self) -> None:
        """Wait for the end of the pipe that the leader holds."""
        os.read(sys.stdin.fileno(), 1)
        self.leader_has_gone()

    def leader_has_gone(self) -> NoReturn:
        """End this process."""
        with self._once:
            if self.place.rank == 1 and self.run is not None:
                self._say(self.run)
            if meeting := os.environ.get(MEETING):
                with contextlib.suppress(OSError):  # another has been faster
                    Path(meeting).unlink(missing_ok=True)
                    Path(meeting).parent.rmdir()
            os._exit(1)

    def _say(self, run: RunPaths) -> None:
        """Unless the leader has done so itself, or lives."""
        until = time.monotonic() + TO_DIE
        while True:
            try:
                writer = RunWriter(run)
                break
            except RunError:
                if time.monotonic() > until:
                    return
                time.sleep(0.1)
        with writer:
            status = written_status(run) or Status()
            if status.live:
                message = f"the first of {self.place.size} processes (pid {status.pid}) was killed"
                status.state, status.message = "failed", message
                writer.status(status)
                writer.event("end", state="failed", message=message, step=status.step)
                print(f"tuirnn: {message}; go on with 'tuirnn train --resume {run.name}'", file=sys.stderr, flush=True)
