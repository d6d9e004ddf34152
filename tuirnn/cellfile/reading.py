"""Values of a cell file's metadata, read and checked; each function raises CellFileError where one is damaged."""

from dataclasses import dataclass
from typing import Any

from tuirnn.calibration import Calibration
from tuirnn.errors import CellFileError, DataError
from tuirnn.files import parse_json
from tuirnn.scaling import Scaling
from tuirnn.vocab import Vocabulary

MAX_CLASSES = 65_536


@dataclass(frozen=True)
class HeldOutLoss:
    """What a lossy precision costs on held-out text.

    Attributes:
        nats: of the file, a token.
        nats_fp32: of the same network in float32.
        tokens: that both were measured on.
    """

    nats: float
    nats_fp32: float
    tokens: int


def reads(text: dict[str, str], points: bool) -> tuple[Vocabulary, Scaling | None]:
    """What the network reads: symbols, or the columns of a series."""
    key = "normalisation" if points else "vocab"
    value = parse_json(text[key].encode(), key, CellFileError)
    try:
        if points:
            return Vocabulary("point"), Scaling.from_json(value)
        vocab = Vocabulary.from_json(value)
    except DataError as error:
        raise CellFileError(f"its {key if points else 'vocabulary'} is damaged: {error}") from None
    if not len(vocab):
        raise CellFileError("its vocabulary is empty")
    return vocab, None


def read_calibration(text: str | None, scaling: Scaling | None) -> Calibration | None:
    """The calibration of a forecaster; None where the file has none."""
    if text is None or scaling is None:
        return None
    try:
        return Calibration.from_json(parse_json(text.encode(), "calibration", CellFileError), len(scaling))
    except DataError as error:
        raise CellFileError(str(error)) from None


def read_classes(text: str | None) -> tuple[str, ...]:
    """The names of the classes."""
    value = parse_json((text or "null").encode(), "classes", CellFileError)
    if (
        not isinstance(value, list)
        or not 2 <= len(value) <= MAX_CLASSES
        or not all(isinstance(name, str) for name in value)
        or len(set(value)) != len(value)
    ):
        raise CellFileError(f"its classes must be a list of 2 to {MAX_CLASSES:,} different names")
    return tuple(value)


def count(values: dict[str, str], key: str, most: int, least: int = 1) -> int:
    """The number under a key, from `least` to `most`."""
    if not (
        values[key].isascii() and values[key].isdecimal() and len(values[key]) < 9 and least <= int(values[key]) <= most
    ):
        raise CellFileError(f"its metadata '{key}' must be a number from {least} to {most:,}")
    return int(values[key])


def number(text: str) -> float:
    """A loss."""
    try:
        return float(text)
    except ValueError:
        raise CellFileError("its validation loss must be a number") from None


def read_loss(text: str | None) -> HeldOutLoss | None:
    """What a precision costs; None where it was not weighed."""
    if text is None:
        return None
    value: Any = parse_json(text.encode(), "loss", CellFileError)
    if not (
        isinstance(value, dict)
        and all(type(value.get(key)) in (int, float) for key in ("nats", "nats_fp32"))
        and type(value.get("tokens")) is int
    ):
        raise CellFileError("its metadata 'loss' are damaged")
    return HeldOutLoss(float(value["nats"]), float(value["nats_fp32"]), value["tokens"])
