"""What a task is: everything in which learning to write differs from learning to classify or to forecast.

A task is one object. Commands, screens, the exporter and the trainer ask it; none of them decides by its name. It is
declared in the package `tuirnn.tasks.<name>`; its half with PyTorch, the loss and the evaluation, is the module
`tuirnn.training.tasks.<name>`. Both are found by their names.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tuirnn.errors import ConfigError, DataError, one_line
from tuirnn.figures import Figure
from tuirnn.settings.data import DataConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.tables.given import Given
from tuirnn.tasks.history import Forecast, History

if TYPE_CHECKING:  # a task is declared without numpy, which takes longer to import than the rest of a command
    import numpy as np
    import numpy.typing as npt

    from tuirnn.calibration import Calibration
    from tuirnn.scaling import Scaling
    from tuirnn.tasks.batches import Batches
    from tuirnn.vocab import Vocabulary

OF_TOKENS = frozenset({"tokens", "embed", "token_dropout"})
"""Settings that the tasks which read tokens have in common."""

KINDS = {"char": "characters", "byte": "bytes", "word": "words", "bpe": "subwords", "point": "points"}
"""What the tokens of a vocabulary's kind are called."""

Understood = tuple[Sequence[str], dict[str, Any]]
"""What is to be told of data, a line each, and the same for a run's record."""


class TaskData(Protocol):
    """What a trainer needs of any data.

    `vocab` is empty where numbers are read. `inputs` is the number of tokens in the vocabulary, or the width of a
    point; `outputs` the width of the network's output at each step. `raw` is what can be read only once, of which a
    run keeps a copy; empty for files. `memory` are the bytes that the data occupy during a training, files that are
    mapped apart.
    """

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def raw(self) -> bytes | memoryview: ...
    @property
    def vocab(self) -> "Vocabulary": ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def memory(self) -> float: ...

    def batches(self, config: TrainConfig) -> "Batches": ...
    def summary(self) -> dict[str, Any]: ...
    def unknown(self) -> list[str]: ...


class Interface(Protocol):
    """What a task reads in the metadata of a cell file."""

    @property
    def vocab(self) -> "Vocabulary": ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def scaling(self) -> "Scaling | None": ...
    @property
    def calibration(self) -> "Calibration | None": ...
    @property
    def look_back(self) -> int: ...
    @property
    def data(self) -> str: ...


class Stepper(Protocol):
    """A cell file that runs sequences side by side."""

    def reset(self) -> None:
        """Go to the zero state."""

    def step(self, fed: Any) -> "npt.NDArray[np.float32]":
        """Feed one token, or tokens [B], or points [B, F]; returns the outputs [B, ·]."""

    def read(self, fed: "npt.NDArray[Any]") -> "npt.NDArray[np.float32]":
        """Feed tokens [T, B] or points [T, B, F] that are all known; returns the outputs of each step [T, B, ·]."""


@dataclass(frozen=True)
class OpenCell:
    """A cell file that can be run.

    Attributes:
        name: the model as the user named it, on one line.
        metadata: of the file.
        stepper: makes a stepper of so many sequences side by side, in the zero state.
    """

    name: str
    metadata: Interface
    stepper: Callable[[int], Stepper]


@dataclass(frozen=True)
class Held:
    """What a network is to be evaluated on.

    Attributes:
        given: a file or data set that the user named; None: the data that the network was trained on.
        data: reads these; raises DataError where they are gone or have changed.
        leaky: the network was trained on its validation split as well.
        horizon: steps of a roll-out.
        origins: points that roll-outs begin from, at most.
        reading: what the user says about the file.
        read: how the network's own data were read, as in its run's record.
    """

    given: str | None
    data: Callable[[], TaskData]
    leaky: bool = False
    horizon: int = 200
    origins: int = 32
    reading: Given = field(default_factory=Given)
    read: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """The answer of a command.

    Attributes:
        values: for `--json`.
        lines: for people.
        notes: what the data lacked, for standard error.
    """

    values: dict[str, Any]
    lines: list[str]
    notes: list[str] = field(default_factory=list)


class Task(ABC):
    """One task; a subclass declares it.

    Attributes:
        name: as `--task` takes it; also the name of its package and of its half with PyTorch.
        noun, source, short: what such a network is called, what it learns from, and the latter in a word.
        learns, does: what is learned, to go on after the name; what it does instead of what was asked of it.
        default_source: data set where no source is named; empty: one must be named.
        figures: what held-out data are judged by, the loss first; {token} and {horizon} stand for a run's settings.
        loss_in: the unit of the loss, and what it is a mean over.
        settings: those settings it reads that not every task reads.
        defaults: of settings of a new run, where they differ from those of the sections.
        points: it reads points [F] of a series, and not tokens.
        labelled: it answers with classes that its data name, and not with tokens or points.
        each: it answers for each word, and not for the sequence so far.
        writes: it chooses the next token, so that a network of it can write.
        speed: what is counted in a training's speed.
        python: the class of `tuirnn.api.cells` that such a network is in Python; empty: the plain one.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    short: ClassVar[str] = ""
    learns: ClassVar[str]
    does: ClassVar[str]
    source: ClassVar[str]
    default_source: ClassVar[str] = ""
    figures: ClassVar[tuple[Figure, ...]]
    loss_in: ClassVar[tuple[str, str]]
    settings: ClassVar[frozenset[str]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    points: ClassVar[bool] = False
    labelled: ClassVar[bool] = False
    each: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    speed: ClassVar[str] = "tokens"
    python: ClassVar[str] = ""

    # ── data ──────────────────────────────────────────────────────────────────

    @abstractmethod
    def load(
        self,
        config: DataConfig,
        *,
        vocab: "Vocabulary | None" = None,
        known: Mapping[str, Any] | None = None,
        stdin: Path | None = None,
    ) -> TaskData:
        """Read and split the data.

        Args:
            config: what to read and how to split it.
            vocab: vocabulary of an existing run; None builds one.
            known: an existing run's summary of its data, whose columns and normalisation hold; None: a new run.
            stdin: a run's copy of standard input.
        Raises:
            DataError: data that cannot be used.
        """

    def understand(self, config: DataConfig, files: Sequence[tuple[str, bytes]]) -> Understood:
        """What `load` would understand of some files, or of the beginnings of large ones.

        Args:
            config: settings; the files are its only source.
            files: each with its name.
        Returns:
            what is to be told, a line each, and the same for a record.
        Raises:
            DataError: see `load`.
        """
        from tuirnn.tasks.sources import Source

        found = Source(files[0][0], b"\n".join(data for _, data in files), tuple(files)).read(config.encoding)
        lines, symbols = found.text.count("\n") + 1, len(set(found.text))
        counted = f"{len(files):,} file{'s' * (len(files) != 1)}"
        told = f"{counted}, {len(found.text):,} characters, {symbols:,} of them different, {lines:,} lines"
        first = [line for line in found.text[:10_000].splitlines() if line.strip()][:3]
        return (told, *found.notes, *(one_line(line, 80) for line in first)), found.read

    def plan(self, train: TrainConfig, data: TaskData) -> dict[str, Any]:
        """What a run with these data decides once and keeps in its record, beside their summary."""
        return {}

    def named(self, metadata: Interface) -> TaskData:
        """The data set of the name that a cell file gives; raises DataError where its name does not tell the split."""
        raise DataError(f"it was trained on {self.source}, which a cell file does not contain; give its run instead")

    def counted(self, kind: str) -> str:
        """What the splits are counted in, for a vocabulary of this kind."""
        return KINDS.get(kind, "tokens")

    def step_amount(self, config: TrainConfig, train: int) -> tuple[int, str]:
        """How much a step learns from, of a training split of this size, and what that is counted in."""
        return config.batch_size * config.seq_len, self.speed

    def defaults_beside(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of `defaults` that suit some given settings."""
        return self.defaults

    def look_back(self, config: TrainConfig) -> int:
        """Points that a network reads from the zero state for each answer; 0: it carries its state along."""
        return 0

    def suited(self, data: TaskData, given: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the network and the training that suit some data, without those that are given.

        Args:
            data: of a new run.
            given: settings by name.
        """
        return {}

    def held_out(self, data: TaskData) -> "Iterable[tuple[npt.NDArray[np.int64], str]]":
        """Tokens [n] of held-out sequences, each with its class; '' where a class belongs to each word, not to all."""
        return ()

    # ── what it is judged by ──────────────────────────────────────────────────

    def figures_of(self, data: DataConfig, train: TrainConfig) -> tuple[Figure, ...]:
        """The figures of a run with these settings, the loss first."""
        words = {"token": {"bpe": "subword"}.get(data.tokens, data.tokens), "horizon": train.horizon}
        return tuple(
            dataclasses.replace(figure, name=figure.name.format(**words), unit=figure.unit.format(**words))
            for figure in self.figures
        )

    def scale(self, data: DataConfig, summary: Mapping[str, Any], symbols: int) -> Hashable:
        """What the loss depends on beyond its unit: only runs with an equal one can be compared.

        Args:
            data: settings.
            summary: of the data, as in the run's record.
            symbols: in the vocabulary.
        """
        return None

    def told(self, values: Mapping[str, float], unit: str) -> str:
        """One evaluation in a line.

        Args:
            values: `val_loss` and the other figures by their keys in `status.json`.
            unit: of the loss.
        """
        others = (f"{figure.kind} {figure.shown(values[figure.status_key])}" for figure in self.figures[1:])
        return ", ".join((f"{values['val_loss']:.4f} {unit}", *others))

    # ── at work ───────────────────────────────────────────────────────────────

    def hint(self, model: str) -> str:
        """The arguments of a command that uses a model."""
        return f'predict {model} "…"'

    @abstractmethod
    def weigh(self, cell: OpenCell, data: TaskData) -> tuple[float, int]:
        """The loss of a cell on its run's validation split, quickly, and how much that was a mean over."""

    @abstractmethod
    def evaluate(self, cell: OpenCell, held: Held) -> Report:
        """Measure a network for `tuirnn eval`.

        Raises:
            DataError, ConfigError: data that it cannot be measured on.
        """

    def predict(self, cell: OpenCell, text: str) -> Report:
        """The network's answer to one text, for `tuirnn predict`; raises ConfigError where it has none."""
        raise ConfigError(f"{cell.name} {self.does}: it has no answer to a text")

    def predict_lines(self, cell: OpenCell, lines: Sequence[str]) -> Iterable[Report]:
        """The network's answer to each of many texts, in order."""
        return (self.predict(cell, line) for line in lines)

    def histories(self, cell: OpenCell, held: Held, *, whole: bool = False) -> list[History]:
        """The series that a network of points goes on from, or is judged on, one for each group.

        Args:
            cell: the network.
            held: a table, or the network's own data.
            whole: all of its own data, not only up to the end of the held-out part.
        Raises:
            ConfigError: it reads no points.
            DataError: a table that it cannot read.
        """
        raise ConfigError(f"{cell.name} {self.does} and forecasts nothing")

    def go_on(self, cell: OpenCell, history: History, horizon: int) -> Forecast:
        """The next points after a history, each fed back as input."""
        raise ConfigError(f"{cell.name} {self.does} and forecasts nothing")
