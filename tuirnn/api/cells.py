"""The classes of the tasks' networks in Python; which of them a network is, its task says (`Task.python`)."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tuirnn.api.cell import Array, Cell, State
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import ConfigError
from tuirnn.runtime.generate import Moment, TextWriter, Written
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.history import History
from tuirnn.tasks.task import OpenCell

UNDECODED = 4
"""Bytes that a character of UTF-8 has at most."""


class TextCell(Cell):
    """A language model: it reads and writes text."""

    def __init__(
        self, name: str, trusted: TrustedCell, session: CellSession, ready: OpenCell, home: tuple[str, Path]
    ) -> None:
        super().__init__(name, trusted, session, ready, home)
        self._writer = TextWriter(session)

    def reset(self) -> None:
        """Go to the beginning of a text: the zero state, after a newline."""
        self._writer.reset()

    def _feed(self, fed: Any) -> Array:
        self._writer.feed_token(int(fed))
        return np.array(self._session.logits[0], copy=True)

    def read(self, text: str) -> list[Written]:
        """Read a text from where the network is.

        Returns:
            For each token its id, its text and the nats that it cost: −ln of the probability it was given.
        """
        return self._writer.feed(text)

    def write(
        self, length: int = 500, *, temperature: float = 0.8, top_k: int = 0, top_p: float = 1.0, greedy: bool = False,
        seed: int | None = None,
    ) -> Iterator[str]:  # fmt: skip
        """Go on from where the network is, token by token.

        Args:
            length, temperature, top_k, top_p, greedy, seed: as `tuirnn generate`.
        Yields:
            The text of each token.
        Raises:
            ConfigError: a value out of its bounds.
        """
        sampling = Sampling(0.0 if greedy else temperature, top_k, top_p)
        if length < 0:
            raise ConfigError(f"length must be at least 0, not {length}")
        if seed is not None and seed < 0:
            raise ConfigError(f"--seed must be at least 0, not {seed}")
        self._writer.seek(time.time_ns() % 2**32 if seed is None else seed, 0)
        return self._writer.stream(sampling, length)

    def generate(
        self, prime: str = "", length: int = 500, *, temperature: float = 0.8, top_k: int = 0, top_p: float = 1.0,
        greedy: bool = False, seed: int | None = None,
    ) -> str:  # fmt: skip
        """What the network writes after `prime`, from the zero state; with a seed the text of `tuirnn generate`.

        Args:
            prime: text that the network reads first; '': it begins a text of its own.
            length: tokens to write after it.
            temperature, top_k, top_p, greedy, seed: as `tuirnn generate`.
        Returns:
            What it wrote, without `prime`.
        """
        self.reset()
        self.read(prime)
        pieces = self.write(length, temperature=temperature, top_k=top_k, top_p=top_p, greedy=greedy, seed=seed)
        return "".join(pieces)

    def _state(self) -> State:
        moment = self._writer.moment()
        parts = dict(zip(self._parts, moment.state, strict=True))
        found: State = {**parts, "answer": moment.logits.astype(np.float32)[None]}
        if self.vocab.of_bytes:
            found["undecoded"] = np.frombuffer(moment.undecoded[0].ljust(UNDECODED, b"\0"), np.uint8).copy()
        return found

    def _go_to(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        super()._go_to(state)
        now = self._writer.moment()
        undecoded = bytes(state["undecoded"].tolist()).rstrip(b"\0") if "undecoded" in state else b""
        self._writer.go_to(Moment(now.state, state["answer"][0].astype(np.float64), now.rng, (undecoded, 0)))

    def save_state(self, path: str | Path) -> None:
        """Write where the text stands to a file, that of `tuirnn generate --save-state`.

        Raises:
            DataError: the file cannot be written.
        """
        from tuirnn.runtime.states import save_state

        save_state(Path(path), self._writer, self._trusted)

    def load_state(self, path: str | Path) -> None:
        """Go to where the text of a file stands, of `save_state` or `tuirnn generate --save-state`.

        Raises:
            DataError: no such file, none of a state, or one of another cell.
        """
        from tuirnn.runtime.states import load_state

        load_state(Path(path), self._writer, self._trusted)

    def predict(self, text: str) -> dict[str, float]:
        """The probability of each token after a text, from the zero state, by symbol; the state is left as it is."""
        before = self.state
        self.reset()
        self.read(text)
        p = self._writer.distribution(Sampling(temperature=1.0))
        self.state = before
        unk = self.vocab.unk
        vocab = self.vocab
        symbols = [
            vocab.token_bytes(i).decode("utf-8", "backslashreplace") if vocab.of_bytes else vocab.symbol(i)
            for i in range(len(p))
        ]
        return {symbol: float(p[i]) for i, symbol in enumerate(symbols) if i != unk}


@dataclass(frozen=True)
class Prediction:
    """A class, its probability, and those of all classes."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Classifier(Cell):
    """A network that says which class a sequence belongs to."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What its outputs stand for."""
        return self.metadata.classes

    @overload
    def predict(self, text: str) -> Prediction: ...
    @overload
    def predict(self, text: list[str] | tuple[str, ...]) -> list[Prediction]: ...
    def predict(self, text: str | list[str] | tuple[str, ...]) -> Prediction | list[Prediction]:
        """The class of a text, or of each of many, which run side by side; the state is left as it is.

        Raises:
            ConfigError: an empty text.
        """
        texts = [text] if isinstance(text, str) else list(text)
        if not all(texts):
            raise ConfigError("an empty text has no last symbol to judge by; give at least one")
        found = []
        for report in self._task.predict_lines(self._ready, texts):
            label, p = str(report.values["class"]), dict(report.values["p"])
            found.append(Prediction(label, p[label], p))
        return found[0] if isinstance(text, str) else found


@dataclass(frozen=True)
class Span:
    """A piece of a text, its characters `first` up to, not including, `last`, and what it is."""

    text: str
    first: int
    last: int
    kind: str


@dataclass(frozen=True)
class Tagged:
    """A text whose words have tags.

    Attributes:
        text: as it was given.
        words, tags, probabilities: each word, its likeliest tag, and how likely that is.
        spans: that the tags name.
        marked: the text with its spans in brackets.
    """

    text: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: tuple[float, ...]
    spans: tuple[Span, ...]
    marked: str


class Tagger(Cell):
    """A network that gives each word of a sequence a tag, or each of its symbols."""

    @property
    def tags(self) -> tuple[str, ...]:
        """What its outputs stand for."""
        return self.metadata.classes

    @overload
    def predict(self, text: str) -> Tagged: ...
    @overload
    def predict(self, text: list[str] | tuple[str, ...]) -> list[Tagged]: ...
    def predict(self, text: str | list[str] | tuple[str, ...]) -> Tagged | list[Tagged]:
        """The tags of a text, or of each of many, which run side by side; the state is left as it is.

        Raises:
            ConfigError: a text without a word.
        """
        texts = [text] if isinstance(text, str) else list(text)
        found = [_tagged(report.values) for report in self._task.predict_lines(self._ready, texts)]
        return found[0] if isinstance(text, str) else found


def _tagged(values: Mapping[str, Any]) -> Tagged:
    words, spans = values["words"], values["spans"]
    return Tagged(
        text=values["text"],
        words=tuple(word["word"] for word in words),
        tags=tuple(word["tag"] for word in words),
        probabilities=tuple(word["p"] for word in words),
        spans=tuple(Span(**span) for span in spans),
        marked=values["marked"],
    )


class Forecaster(Cell):
    """A network that goes on with a series of numbers."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its numbers."""
        assert self.metadata.scaling is not None
        return self.metadata.scaling.columns

    def predict(self, history: Any = None, horizon: int = 200) -> npt.NDArray[np.float64]:
        """The next points, each fed back as input; the state is left as it is.

        Args:
            history: points [n, F] in the data's own units, or [n] of a single column; a table's path; None: the data of
                the cell's own run.
            horizon: how many points.
        Returns:
            [horizon, F].
        Raises:
            ConfigError, DataError: points of another width, a table that it cannot read, or nothing to go on from.
        """
        if horizon < 1:
            raise ConfigError(f"--horizon must be at least 1, not {horizon}")
        if history is None or isinstance(history, (str, Path)):
            from tuirnn.runtime.data import measured_on  # imports ONNX, which nothing else here needs

            held = measured_on(*self._home, self.metadata, None if history is None else str(history))
            found = self._task.histories(self._ready, held, whole=True)
            if len(found) > 1:
                raise ConfigError(f"{self.name} goes on from one series at a time; give the points of one group [n, F]")
            series = found[0]
        else:
            points = np.asarray(history, np.float64)
            points = points[:, None] if points.ndim == 1 else points
            series = History("points", points, len(points))
        F, points = len(self.columns), series.values
        if points.ndim != 2 or points.shape[1] != F or not len(points):
            raise ConfigError(f"{self.name} goes on from points [n, {F}], not from {list(np.shape(points))}")
        return np.asarray(self._task.go_on(self._ready, series, horizon).points, np.float64)


AnyCell = TextCell | Classifier | Tagger | Forecaster
KINDS: dict[str, type[Cell]] = {kind.__name__: kind for kind in (TextCell, Classifier, Tagger, Forecaster)}
"""By the names that tasks give."""
