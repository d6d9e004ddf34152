"""What can be learned: each task turns sources into splits and batches. A new one is a module and a line here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tuirnn.config import DataConfig, TrainConfig
from tuirnn.tasks import classify, forecast, lm
from tuirnn.tasks.batches import Batches
from tuirnn.vocab import Vocabulary


class TaskData(Protocol):
    """What a trainer needs of any data; `lm.TextData`, `classify.LabelledData` and `forecast.SeriesData` are such.

    `vocab` is empty where numbers are read. `inputs` is how many tokens there are, or how wide a point is; `outputs`
    how many numbers the network answers with at each step.
    """

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def vocab(self) -> Vocabulary: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def notes(self) -> tuple[str, ...]: ...

    def batches(self, config: TrainConfig) -> Batches: ...
    def summary(self) -> dict[str, Any]: ...
    def unknown(self) -> list[str]: ...


Known = Mapping[str, Any] | None

_LOADERS: dict[str, Callable[[DataConfig, Vocabulary | None, Known, Path | None], TaskData]] = {
    "lm": lambda config, vocab, known, stdin: lm.load(config, vocab=vocab, stdin=stdin),
    "classify": lambda config, vocab, known, stdin: classify.load(config, vocab=vocab, stdin=stdin),
    "forecast": lambda config, vocab, known, stdin: forecast.load(config, known=known, stdin=stdin),
}


def load(
    config: DataConfig,
    *,
    vocab: Vocabulary | None = None,
    known: Known = None,
    stdin: Path | None = None,
) -> TaskData:
    """Read the data of `config`'s task.

    Args:
        config: what to read and how to cut it.
        vocab: vocabulary of an existing run; None builds one.
        known: an existing run's summary of its data, whose columns and normalisation hold; None: a new run's.
        stdin: a run's copy of standard input.
    Raises:
        DataError: data that cannot be used.
    """
    return _LOADERS[config.task](config, vocab, known, stdin)
