"""What a training will find in its data, before it starts: read and cut by the very code that trains. No torch."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tuirnn import tasks
from tuirnn.config import RunConfig
from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.settings.section import flag_of
from tuirnn.tasks import datasets
from tuirnn.tasks.sources import STDIN

Suits = Callable[[Mapping[str, Any]], dict[str, Any]]
"""What suits some data: of the settings that were given, those for the others; see `Task.suited`."""

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
        train: size of the training split.
        noun: what that is counted in.
        suits: settings that suit the data.
        memory: bytes that the data occupy.
    """

    sha256: str
    inputs: int
    outputs: int
    lanes: int
    epoch: int
    longest: int = 0
    train: int = 0
    noun: str = ""
    suits: Suits = field(default=lambda _: {}, compare=False, repr=False)
    memory: float = 0.0

    def suited(self, config: RunConfig) -> RunConfig:
        """The settings that a training of `config` will have: those that suit the data, where it has its defaults."""
        return suiting(config, self.suits, config.changed)[0]


def survey(config: RunConfig) -> Survey:
    """Read the data of `config` as its training will.

    Raises:
        DataError: data that no training could use, or that are not read for an estimate alone: standard input, a data
            set that is not on this machine, more than `MOST_BYTES`.
    """
    _refuse_long_reading(config.data)
    data = tasks.load(config.data)
    suits = partial(config.task.suited, data)
    batches = data.batches(suiting(config, suits, config.changed)[0].train)
    return Survey(
        data.sha256, data.inputs, data.outputs, batches.B, batches.batches_per_epoch, batches.longest,
        int(data.summary()["train"]), config.task.counted(data.vocab.kind), suits, data.memory,
    )  # fmt: skip


def suiting(config: RunConfig, suits: Suits, given: Collection[str]) -> tuple[RunConfig, list[str]]:
    """The settings with those that suit the data in place of what nobody gave, and what is to be said of it."""
    flat = config.flat()
    chosen = suits({name: flat[name] for name in given})
    changed = {name: value for name, value in chosen.items() if value != flat[name]}
    if not changed:
        return config, []
    words = " ".join(flag_of(name) if value is True else f"{flag_of(name)} {value}" for name, value in changed.items())
    return config.replace(**changed), [f"chosen for these data: {words}"]


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
