"""Whether the held-out part was in truth trained on: the share of it that stands in the training part word for word.

A text is measured in stretches of 128 tokens: of all that are held out, those that stand in the training part too; see
`tuirnn.tasks.lm.stretches`. Language repeats words, hardly ever whole paragraphs; a file given twice repeats all of
them. A stretch that the held-out part itself repeats is not counted: a licence above each file, or a toy text of one
line over and over, is the text's nature and no leak. Labelled sequences are measured whole.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tuirnn import tasks
from tuirnn.errors import DataError
from tuirnn.settings.data import DataConfig
from tuirnn.tasks import datasets, sources
from tuirnn.tasks.classify.data import LabelledData
from tuirnn.tasks.lm import sampled
from tuirnn.tasks.lm.data import TextData
from tuirnn.tasks.lm.stretches import STRETCH

__all__ = ["LIMIT", "STRETCH", "foreseen", "overlap"]

LEAST = 4 * STRETCH
"""A held-out text of fewer tokens is not measured."""

LIMIT = 0.2
"""Share of the held-out part from which a split is called leaky."""

TOLD = 0.01
"""Share from which a note is made."""

READ = 2 * 2**20
"""Bytes of a text up to which it is read and cut as training does it."""


def overlap(data: object, trained: object = None) -> float:
    """Share of the held-out part that stands in the training part, 0..1; 0 for tasks that have no such measure.

    Args:
        data: whose held-out part is meant.
        trained: data of the same task and vocabulary whose training part is meant; None: its own.
    """
    trained = trained or data
    if isinstance(data, TextData) and isinstance(trained, TextData):
        return data.overlap(trained) if len(data.val) >= LEAST else 0.0
    if isinstance(data, LabelledData) and isinstance(trained, LabelledData):
        known = {ids.tobytes() for ids in trained.train.ids}
        return sum(ids.tobytes() in known for ids in data.val.ids) / max(1, len(data.val))
    return 0.0


def foreseen(config: DataConfig, files: Sequence[tuple[str, bytes]], size: int) -> list[str]:
    """What is to be said, before a training, of copies of the held-out part in the training part; a line at most.

    Args:
        config: settings, with one source.
        files: of the source, each with its name, or the beginnings of large ones.
        size: of all of them, in bytes.
    """
    if not tasks.reads(tasks.find_task(config.task), "dedupe"):
        return []  # labelled texts are told apart when they are read, points of a series by their times
    if config.split == "within":
        return ["copies: --split within trains on all of the held-out part"]
    name = config.sources[0]
    if size <= READ and (Path(name).is_file() or Path(name).is_dir() or name in datasets.dataset_names()):
        return _as_training_does(config)
    if config.lines or config.dedupe:
        return []  # training leaves copies out
    whole = sum(len(data) for _, data in files) >= size
    text = sampled.Files([data for _, data in files] if whole else _bodies(name))
    last = round(text.size * config.fraction)
    held = last - max(1, round(last * config.val_fraction))
    trained = held - round(last * config.test_fraction)
    if config.split == "published":
        val, test = datasets.published(config.sources, config.tokens)
        last, held = text.size - test, text.size - test - val
        trained = held
    share, read = sampled.copied(text, (0, trained), (held, last))
    return [_told(share, f"from a sample of {read:,} bytes, in stretches of {STRETCH} bytes")]


def _as_training_does(config: DataConfig) -> list[str]:
    """By the very code that trains; subwords, which take long to find, are measured in characters."""
    config = dataclasses.replace(config, tokens="char") if config.tokens == "bpe" else config
    try:
        data = tasks.load(config)
    except DataError as error:
        return [f"training would refuse this: {error}"]
    if not isinstance(data, TextData) or len(data.val) < LEAST:
        return [f"copies: not looked for in a held-out part of fewer than {LEAST} tokens"]
    return [_told(overlap(data), f"in stretches of {STRETCH} tokens")]


def _told(share: float, how: str) -> str:
    if share < TOLD:
        return f"copies: hardly any of the held-out part occurs in the training part, {how}"
    what = f"copies: {100 * share:.0f} % of the held-out part occurs in the training part, {how}"
    if share < LIMIT:
        return f"{what}; --dedupe leaves it out of the training part"
    return f"{what}: a leak, which training refuses; leave it out of the training part with --dedupe"


def _bodies(name: str) -> list[Path | bytes]:
    return [body for _, body in sources.located(name) if not isinstance(body, Path) or body.stat().st_size]
