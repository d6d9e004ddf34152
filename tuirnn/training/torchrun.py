"""`tuirnn train --processes N`: torchrun on this machine, its exit codes, and one line if a process is lost.

`torchrun … -m tuirnn train …` by hand does the same on any number of machines.
"""

import logging
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tuirnn import machine
from tuirnn.errors import LostError, RunError
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.reader import LIVE_STATES, written_status
from tuirnn.settings.training import TrainConfig
from tuirnn.shortage import ending
from tuirnn.training.devices import device_type
from tuirnn.training.member import RENDEZVOUS_FILE
from tuirnn.training.recorder import record_failure, resume_advice
from tuirnn.training.signals import LEADER_LOST, LEAVING, exit_code, handled_signals


def train(words: Sequence[str], settings: TrainConfig, run: RunPaths) -> int:
    """Train a run in several processes that torchrun starts and watches, and that end with this one.

    Args:
        words: arguments of `tuirnn`, for each of them.
        settings: how many there are, and on which kind of device.
        run: the run that they train.
    Returns:
        the exit code of the first process.
    Raises:
        ConfigError: the machine is too small for so many.
        LostError: one of them was killed or ran out of memory.
        RunError: the system starts no more processes.
    """
    processes = settings.processes
    device_type(settings.device, processes)
    logging.disable()  # torchrun would tell at length what is said here in one line
    asking = handled_signals()
    for number in set(LEAVING) - set(asking):
        signal.signal(number, signal.SIG_IGN)
    with tempfile.TemporaryDirectory(prefix="tuirnn-") as folder:  # which only this user can read
        launched = Launched(Path(folder), run, processes)
        # Files in it take the place of torchrun's ports, which other users of the machine could connect to.
        os.environ[RENDEZVOUS_FILE] = str(Path(folder, "meeting"))
        os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint=str(Path(folder, "rendezvous")),
            rdzv_configs={"store_type": "file"},
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=Std.ERR),
            signals_to_handle=",".join(signal.Signals(number).name for number in asking),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "tuirnn", *words)
        except OSError as error:
            raise RunError(f"cannot start {processes} processes: {error.strerror}; lower --processes") from None
        except ChildFailedError as error:
            return launched.code_of_failures(error.failures)
        except SignalException as received:
            return launched.code_after_signal(received.sigval.name)
        return launched.forward_errors(0)


class Launched:
    """How the processes of a training have ended.

    Args:
        folder: where torchrun keeps what they have written to stderr.
        run: the run that they have trained.
        processes: how many.
    """

    def __init__(self, folder: Path, run: RunPaths, processes: int) -> None:
        self.folder, self.run, self.processes = folder, run, processes
        self.began, self.kills = time.time(), machine.kills()

    def code_of_failures(self, failures: Mapping[int, ProcessFailure]) -> int:
        """The exit code, where no process was lost: the first has ended by itself and said why."""
        state = self._state()
        if 0 not in failures and state not in LIVE_STATES:  # all was done when another one ended
            return self.forward_errors(0)
        code = failures[0].exitcode if 0 in failures else -signal.SIGTERM  # it hung, and the others have ended
        if state in ("", *LIVE_STATES):  # else it has written why it ended
            lost = [
                (failure.timestamp, -rank, failure)
                for rank, failure in failures.items()
                if failure.exitcode not in (-signal.SIGTERM, LEADER_LOST) and (rank or code < 0)
            ]
            if lost:
                _, rank, failure = min(lost, key=lambda each: each[:2])
                raise self._lost(self._how(-rank, failure))
        return self.forward_errors(code if code > 0 else LostError.exit_code)

    def code_after_signal(self, name: str) -> int:
        """The exit code, where a signal has come."""
        state = self._state()
        if state in LIVE_STATES:
            raise self._lost(f"ended by {name} before a checkpoint was written")
        return self.forward_errors({"done": 0, "failed": LostError.exit_code}.get(state, exit_code(name)))

    def forward_errors(self, code: int) -> int:
        """Pass on what the first process has written to stderr; returns `code`."""
        sys.stderr.write("".join(file.read_text(errors="replace") for file in self._files(0)))
        return code

    def _state(self) -> str:
        """The state of this training as it was written last; '' if it had not begun."""
        status = written_status(self.run)
        return status.state if status is not None and status.started >= self.began else ""

    def _lost(self, how: str) -> LostError:
        record_failure(self.run, how)
        return LostError(f"{how}; {resume_advice(self.run)}" if is_run(self.run.root) else how)

    def _how(self, rank: int, failure: ProcessFailure) -> str:
        """How a process has ended: what it said last, if it ended by itself."""
        lines = [line for file in self._files(rank) for line in file.read_text(errors="replace").splitlines()]
        said = [line.removeprefix("tuirnn: ") for line in lines if line.startswith("tuirnn: ")]
        if said and failure.exitcode > 0:
            return said[-1]
        how = ending(failure.exitcode, self.kills)
        return f"process {rank + 1} of {self.processes} (pid {failure.pid}) {how}"

    def _files(self, rank: int) -> list[Path]:
        return sorted(self.folder.glob(f"*/attempt_*/{rank}/stderr.log"))
