"""What can be learned: each task turns sources into splits and batches. A new one is a module and a line here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tuirnn.config import DataConfig, TrainConfig
from tuirnn.tasks import classify, lm
from tuirnn.tasks.batches import Batches
from tuirnn.vocab import Vocabulary


class TaskData(Protocol):
    """What a trainer needs of any data; `lm.TextData` and `classify.LabelledData` are such."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def vocab(self) -> Vocabulary: ...
    @property
    def outputs(self) -> int: ...
    @property
    def notes(self) -> tuple[str, ...]: ...

    def batches(self, config: TrainConfig) -> Batches: ...
    def summary(self) -> dict[str, Any]: ...
    def unknown(self) -> list[str]: ...


_LOADERS: dict[str, Callable[..., TaskData]] = {"lm": lm.load, "classify": classify.load}


def load(config: DataConfig, *, vocab: Vocabulary | None = None, stdin: Path | None = None) -> TaskData:
    """Read the data of `config`'s task.

    Args:
        config: what to read and how to cut it.
        vocab: vocabulary of an existing run; None builds one.
        stdin: a run's copy of standard input.
    Raises:
        DataError: data that cannot be used.
    """
    return _LOADERS[config.task](config, vocab=vocab, stdin=stdin)
