"""What a step of a run takes on this machine, before it starts: by a trial in a process of its own.

What was measured is kept in the cache folder, under the processor, the version, the settings that decide the work of a
step, and the data.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from tuirnn import __version__, processor
from tuirnn.config import RunConfig
from tuirnn.errors import RunError, one_line
from tuirnn.estimate import work
from tuirnn.files import atomic_write
from tuirnn.survey import Survey

LONGEST = 30.0
"""Seconds after which a trial is ended with what it knows; the first one on a machine compiles the cell."""

POLL = 0.05

KEPT = 300
"""Most trials that are kept."""


@dataclass(frozen=True)
class Trial:
    """What was measured, in seconds.

    Attributes:
        step: of training.
        evaluation: of held-out data, with a checkpoint; 0: none was reached.
    """

    step: float
    evaluation: float

    def pace(self, config: RunConfig, found: Survey) -> float:
        """Seconds a step of a run, evaluations included."""
        return self.step + self.evaluation / (config.train.eval_every or found.epoch)


def key_of(config: RunConfig, found: Survey) -> str:
    """What a trial depends on, as one word."""
    parts = [processor.identity(), os.cpu_count(), __version__, work(config), found.sha256]
    return hashlib.sha256(json.dumps(parts, default=str, sort_keys=True).encode()).hexdigest()[:24]


def kept(key: str) -> Trial | None:
    """An earlier trial; None where there is none, or the file is not as expected."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _sound(json.loads(_file().read_text(encoding="utf-8"))[key])
    return None


def measure(config: RunConfig, found: Survey, given_up: threading.Event) -> Trial:
    """Train for some steps in another process, and keep what was measured.

    Args:
        config: every setting.
        found: in its data.
        given_up: ends the trial when it is set.
    Raises:
        RunError: the trial failed, was given up, or knew nothing after `LONGEST`.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tuirnn.training.trial"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said, failed = _answer(process, json.dumps(config.to_json()), given_up)
    try:
        trial = _sound(json.loads(said.strip().splitlines()[-1]))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise RunError(one_line((failed.strip().splitlines() or ["the trial measured nothing"])[-1])) from None
    _keep(key_of(config, found), trial)
    return trial


def _answer(process: "subprocess.Popen[str]", given: str | None, given_up: threading.Event) -> tuple[str, str]:
    """What the process has written when it ends, or is ended."""
    waited = 0.0
    while not given_up.is_set() and waited < LONGEST:
        try:
            return process.communicate(given, timeout=POLL)
        except subprocess.TimeoutExpired:
            waited, given = waited + POLL, None
    process.kill()
    said = process.communicate()
    if given_up.is_set():
        raise RunError("the trial was given up")
    return said


def _file() -> Path:
    return Path(platformdirs.user_cache_dir("tuirnn")) / "step-times.json"


def _sound(value: Mapping[str, float]) -> Trial:
    step, evaluation = float(value["step"]), float(value["evaluation"])
    if not (0 < step < 1e6 and 0 <= evaluation < 1e6):
        raise ValueError("no times")
    return Trial(step, evaluation)


def _keep(key: str, trial: Trial) -> None:
    """Add a trial to those that are kept; where the folder cannot be written, the next one measures again."""
    body: dict[str, object] = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):
        read = json.loads(_file().read_text(encoding="utf-8"))
        body = read if isinstance(read, dict) else {}
    body = {**body, key: asdict(trial)}
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        atomic_write(_file(), json.dumps(dict(list(body.items())[-KEPT:]), indent=1).encode(), durable=False)
