"""What a training will find in its data, before it starts: read and cut by the very code that trains. No torch."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tuirnn import tasks
from tuirnn.config import RunConfig
from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.tasks import datasets
from tuirnn.tasks.sources import STDIN

LATER = "parameters, memory and steps are known when training starts"

MOST_BYTES, MOST_FILES = 4 * 2**20, 10_000
"""What is read for an estimate alone: a second's work at most, which hardly holds up a dashboard's keys."""


@dataclass(frozen=True)
class Survey:
    """What the data decide of a training.

    Attributes:
        sha256: of the data's bytes.
        inputs: tokens that there are to read, or the width of a point.
        outputs: width of the network's answer at each step.
        lanes: sequences side by side in a batch, of which the data may fill fewer than were asked for.
        longest: steps of the longest batch; 0: as many as `--seq-len` says.
        epoch: batches in one pass over the training split.
    """

    sha256: str
    inputs: int
    outputs: int
    lanes: int
    epoch: int
    longest: int = 0


def survey(config: RunConfig) -> Survey:
    """Read the data of `config` as its training will.

    Raises:
        DataError: data that no training could use, or that are not read for an estimate alone: standard input, a data
            set that is not on this machine, more than `MOST_BYTES`.
    """
    _refuse_long_reading(config.data)
    data = tasks.load(config.data)
    batches = data.batches(config.train)
    return Survey(data.sha256, data.inputs, data.outputs, batches.B, batches.batches_per_epoch, batches.longest)


def preview(config: DataConfig) -> tuple[str, ...]:
    """What training would understand of the first source, as `tuirnn data look` tells it; nothing without a file.

    Raises:
        DataError, ConfigError: see `look_at`.
    """
    from tuirnn.tasks.look import look_at

    here = [name for name in config.sources if name not in ("", STDIN) and Path(name).exists()]
    if not here:
        return ()
    usual = DataConfig()
    chosen = {
        name: value for name, value in vars(config).items() if name != "sources" and value != getattr(usual, name)
    }
    seen = look_at(here[0], {**chosen, "task": config.task})
    return (seen.head, *seen.notes)


def _refuse_long_reading(config: DataConfig) -> None:
    size = 0
    for number, file in enumerate(_files(config)):
        with contextlib.suppress(OSError):  # reading it will say what is wrong with it
            size += file.stat().st_size
        if size > MOST_BYTES or number > MOST_FILES:
            raise DataError(f"{LATER}: the data are more than the {MOST_BYTES >> 20} MB that are read for an estimate")


def _files(config: DataConfig) -> Iterator[Path]:
    """The files on this machine that the sources name, folders walked through one entry after the other."""
    for name in config.sources:
        if name == STDIN:
            raise DataError(f"{LATER}: it reads standard input")
        try:
            path = Path(name)
            here, folder = path.exists(), path.is_dir()
        except (OSError, ValueError):  # no path at all
            continue
        if folder:
            yield from path.rglob("*")
        elif here:
            yield path
        elif datasets.must_download(name):
            raise DataError(f"{LATER}: it downloads '{name}'")
