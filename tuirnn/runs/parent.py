"""A run that begins with the weights of another: the settings it takes over, its vocabulary, its first weights."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tuirnn import tasks
from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, DataError, RunError, TuirnnError, one_line
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths, find_run
from tuirnn.runs.reader import RunRecord, present_record
from tuirnn.settings.section import flag_of
from tuirnn.tasks.overlap import overlap
from tuirnn.tasks.sources import STDIN
from tuirnn.tasks.task import KINDS, TaskData
from tuirnn.vocab import Ids, Vocabulary

Weights = dict[str, npt.NDArray[Any]]
"""Parameters by the names of a checkpoint."""

NETWORK = (
    "cell", "hidden", "layers", "embed", "residual", "projection", "tied", "nonlinearity", "reset", "task", "tokens"
)  # fmt: skip
"""Settings that the weights depend on."""

DRAWN = ("forget_bias", "init_std")
"""Settings of weights that are drawn, which these are not."""

NOT_TAKEN = frozenset({
    "steps", "epochs", "minutes", "patience", "processes", "fraction", "allow_leak", "text_column", "label_column",
    "time_column", "date_order", "example", "delimiter", "decimal", "header", "missing", "encoding",
})  # fmt: skip
"""Settings of the other run that say how long it was or how its own files are read: these have their defaults."""

SHOWN, MOST_ANCESTORS = 8, 50


@dataclass(frozen=True)
class Parent:
    """The run that another one begins with.

    Attributes:
        paths: its directory.
        record: what it is.
        saved: the checkpoint whose weights are taken.
    """

    paths: RunPaths
    record: RunRecord
    saved: checkpoint.Checkpoint

    @classmethod
    def read(cls, paths: RunPaths, which: str = "best") -> "Parent":
        """The run and its checkpoint: 'best', 'last' or a step.

        Raises:
            RunError: no such checkpoint, or a damaged one.
        """
        return cls(paths, present_record(paths), checkpoint.load(paths, which))

    @property
    def name(self) -> str:
        """Of the run."""
        return self.paths.name

    def to_json(self) -> dict[str, Any]:
        """What the new run's record says of it."""
        return {"run": self.name, "step": self.saved.step, "manifest": self.saved.manifest}

    # ── settings ──────────────────────────────────────────────────────────────

    @cached_property
    def base(self) -> RunConfig:
        """The settings of a run that begins with it and is given none."""
        default = RunConfig().flat()
        return self.record.config.replace(**{name: default[name] for name in NOT_TAKEN})

    def config(self, given: Mapping[str, Any]) -> RunConfig:
        """The settings of a run that begins with it.

        Args:
            given: settings by name.
        Raises:
            ConfigError: one that its weights do not allow, or that has no effect on them.
        """
        config = self.base.replace(**given)
        config.check_given(given)
        ours, wanted = self.base.flat(), config.flat()
        for name in NETWORK:
            if wanted[name] != ours[name]:
                raise ConfigError(
                    f"{flag_of(name)} cannot change with --from: the weights of run '{self.name}' were made with "
                    f"{ours[name]}; leave it out, or train a network of its own without --from"
                )
        for name in DRAWN:
            if name in given and wanted[name] != ours[name]:
                raise ConfigError(f"{flag_of(name)} has no effect with --from, which draws no weights; leave it out")
        if self.record.vocab.of_bytes and wanted["vocab_size"] != ours["vocab_size"]:
            raise ConfigError(
                f"--vocab-size has no effect with --from: the vocabulary of run '{self.name}' is kept; leave it out"
            )
        if "sources" not in given and STDIN in config.data.sources:
            raise ConfigError(f"run '{self.name}' has read standard input; name what the new run is to learn from")
        return config

    # ── data ──────────────────────────────────────────────────────────────────

    def load(self, config: RunConfig) -> TaskData:
        """The data of the new run, in the vocabulary of this one with their own symbols added to it.

        Raises:
            DataError: data that cannot be used, or a series with another number of columns.
        """
        if self.record.vocab.of_bytes:
            return tasks.load(config.data, vocab=self.record.vocab)
        data = tasks.load(config.data)
        if self.record.vocab.kind == data.vocab.kind:
            grown = self.record.vocab.grown(data.vocab)
            data = _again(config, data, grown) if grown != data.vocab else data
        columns = self.record.data.get("columns")
        if config.task.points and isinstance(columns, list) and len(columns) != data.inputs:
            raise DataError(
                f"{data.name} has {data.inputs} columns to learn, run '{self.name}' {len(columns)}; choose as many "
                "with --columns"
            )
        return data

    def notes(self, data: TaskData) -> Iterator[str]:
        """What is taken over and what is new, a line each."""
        yield f"begins with the weights of run '{self.name}' at step {self.saved.step:,}, and with a fresh optimizer"
        old, kind = self.record.vocab, KINDS[self.record.vocab.kind]
        if new := data.vocab.symbols[len(old.symbols) :]:
            yield (
                f"the vocabulary of run '{self.name}' grows from {len(old.symbols):,} to {len(data.vocab.symbols):,} "
                f"{kind}: {_some([repr(symbol) for symbol in new])}; they begin as its unknown one"
            )
        elif old.symbols or old.merges:
            yield f"the vocabulary of run '{self.name}' is kept: {len(old.symbols) or len(old):,} {kind}"
        known, now = _classes(self.record.data), _classes(data.summary())
        if new := tuple(name for name in now if name not in known):
            yield f"classes that run '{self.name}' does not know begin anew: {_some(new)}"
        if gone := [name for name in known if name not in now]:
            yield f"classes of run '{self.name}' that {data.name} lacks are dropped: {_some(gone)}"

    def overlap(self, data: TaskData) -> tuple[float, list[str]]:
        """The share of the held-out part that this run, or one that it began with, was trained on.

        Returns:
            the share, 0..1, and a line for each run whose data can no longer be read.
        """
        share, notes, seen = 0.0, [], set[str]()
        paths, record = self.paths, self.record
        while paths.name not in seen and len(seen) < MOST_ANCESTORS:
            seen.add(paths.name)
            try:
                trained = tasks.load(record.config.data, vocab=data.vocab, known=record.data, stdin=paths.stdin)
                if trained.sha256 != record.data.get("sha256"):
                    raise DataError("they have changed")
                share = max(share, overlap(data, trained))
            except TuirnnError as error:
                notes.append(
                    f"whether run '{paths.name}' was trained on what is held out here is not known: its data cannot be "
                    f"read again ({one_line(error, 120)})"
                )
            if record.parent is None:
                break
            before = one_line(record.parent.get("run"), 80)
            try:
                paths = find_run(paths.root.parent, before)
                record = present_record(paths)
            except RunError:
                notes.append(f"whether run '{before}', with which it began, was trained on it is not known: it is gone")
                break
        return share, notes

    # ── weights ───────────────────────────────────────────────────────────────

    def weights(self, fresh: Weights, data: TaskData) -> Weights:
        """The first weights of the new run: this one's, where it has them.

        A new symbol begins as the unknown one, which it was to this run: the network computes what it did before. A new
        class keeps its drawn weights.

        Args:
            fresh: the drawn weights of the new network, by name.
            data: of the new run.
        Raises:
            RunError: the checkpoint's weights do not fit its record.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            found = load(self.saved.files[checkpoint.MODEL])
        except (SafetensorError, TypeError, ValueError, KeyError) as error:
            raise RunError(f"{self.saved.path.name} is damaged: {one_line(error)}") from None
        read = data.vocab.ids_in(self.record.vocab)
        answers = _places(_classes(data.summary()), _classes(self.record.data)) if _classes(self.record.data) else read
        tokens = len(self.record.vocab) > 0
        first = "embedding.weight" if self.base.model.embed else "layers.0.weight_ih"
        weights: Weights = {}
        for name, drawn in fresh.items():
            value = found.get(name)
            try:
                if value is not None and tokens and name == first:
                    value = value[read] if self.base.model.embed else value[:, read]
                elif value is not None and tokens and name in ("head.weight", "head.bias"):
                    merged = np.array(drawn, copy=True)
                    merged[answers >= 0] = value[answers[answers >= 0]]
                    value = merged
            except IndexError:
                value = None
            if value is None or value.shape != drawn.shape:
                raise RunError(f"{self.saved.path.name} holds other weights than run.json says; was it changed?")
            weights[name] = value.astype(drawn.dtype)
        return weights


def _again(config: RunConfig, data: TaskData, vocab: Vocabulary) -> TaskData:
    """The same data in another vocabulary; standard input, which can be read once, from a copy."""
    if STDIN not in config.data.sources:
        return tasks.load(config.data, vocab=vocab)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "stdin"
        copy.write_bytes(data.raw)
        again = tasks.load(config.data, vocab=vocab, stdin=copy)
    assert is_dataclass(again)
    return cast(TaskData, replace(again, raw=data.raw))  # the copy is gone


def _classes(summary: Mapping[str, Any]) -> tuple[str, ...]:
    found = summary.get("classes")
    return tuple(map(str, found)) if isinstance(found, (list, tuple)) else ()


def _places(names: Sequence[str], among: Sequence[str]) -> Ids:
    """The place of each name among others; -1 where it is none of them."""
    index = {name: i for i, name in enumerate(among)}
    return np.array([index.get(name, -1) for name in names], dtype=np.int64)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(one_line(name, 30) for name in names[:SHOWN])
    return shown + f" and {len(names) - SHOWN:,} more" * (len(names) > SHOWN)
