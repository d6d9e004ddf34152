"""Test vectors of a cell file: what is fed from the zero state, and what must come out."""

from dataclasses import dataclass
from typing import Any

from tuirnn.errors import CellFileError
from tuirnn.files import parse_json
from tuirnn.scaling import Scaling
from tuirnn.vocab import Vocabulary

TEST_TOLERANCE = 1e-4
"""Largest |difference| from the test vector's logits that a loader accepts, for floating-point weights."""

RELATIVE_TOLERANCE = 1e-5
"""Of a forecaster's test vector, beside its tolerance in deviations."""

FLOAT32_MAX = 3.4028235e38

LARGEST_TOLERANCE = 0.25
"""The most that a file may ask for itself: integer arithmetic may round an activation to either side."""

MAX_STEPS, MAX_TEXT = 1024, 256
"""Steps of a vector; characters of a text."""

TOKEN_KEYS, POINT_KEYS = ("tokens", "logits"), ("x", "y")
"""What inputs and outputs are called in the JSON of a vector."""

Fed = int | tuple[float, ...]
"""A token, or a point."""


@dataclass(frozen=True)
class TestVector:
    """What is fed step by step from the zero state, and (the first of) what comes out after the last of it.

    Attributes:
        inputs: tokens or points.
        outputs: logits, the first of them where there are many; or the next point.
        atol: see `TEST_TOLERANCE`.
        largest: the largest logit after each step, so that no token's row can be wrong unseen; empty where not kept.
    """

    __test__ = False  # not a pytest class

    inputs: tuple[Fed, ...]
    outputs: tuple[float, ...]
    atol: float = TEST_TOLERANCE
    largest: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        fed, out = POINT_KEYS if isinstance(self.inputs[0], tuple) else TOKEN_KEYS
        values = {fed: self.inputs, out: self.outputs, "atol": self.atol}
        return {**values, "largest": self.largest} if self.largest else values


@dataclass(frozen=True)
class TestText:
    """A prime, and the tokens that follow it where the likeliest is always taken, as text.

    Attributes:
        prime: is read after the opening token.
        text: what is written then.
        length: tokens of `text`.
    """

    __test__ = False

    prime: str
    text: str
    length: int


def read_vector(text: str, key: str, vocab: Vocabulary, scaling: Scaling | None) -> TestVector:
    """The vector under a metadata key; raises CellFileError where it is damaged."""
    return _vector(parse_json(text.encode(), key, CellFileError), vocab, scaling)


def read_lanes(text: str | None, vocab: Vocabulary, scaling: Scaling | None) -> tuple[TestVector, ...]:
    """Two vectors of the same length, which are fed side by side; none where the file has none."""
    if text is None:
        return ()
    value = parse_json(text.encode(), "test_lanes", CellFileError)
    if not isinstance(value, list) or len(value) != 2:
        raise CellFileError("its test lanes are damaged: two are expected")
    one, other = (_vector(lane, vocab, scaling) for lane in value)
    if len(one.inputs) != len(other.inputs):
        raise CellFileError("its test lanes are damaged: they have different lengths")
    return one, other


def read_text(text: str | None) -> TestText | None:
    """A prime and what follows it; None where the file has none."""
    if text is None:
        return None
    value = parse_json(text.encode(), "test_text", CellFileError)
    if not isinstance(value, dict):
        value = {}
    prime, follows, length = (value.get(key) for key in ("prime", "text", "length"))
    if not (
        isinstance(prime, str)
        and isinstance(follows, str)
        and type(length) is int
        and len(prime) <= MAX_TEXT
        and len(follows) <= 64 * MAX_TEXT
        and 1 <= length <= MAX_TEXT
    ):
        raise CellFileError("its test text is damaged")
    return TestText(prime, follows, length)


def _vector(value: Any, vocab: Vocabulary, scaling: Scaling | None) -> TestVector:
    fed, out = POINT_KEYS if scaling else TOKEN_KEYS
    inputs, outputs = (value.get(fed), value.get(out)) if isinstance(value, dict) else (None, None)
    largest = value.get("largest", []) if isinstance(value, dict) else None
    if not (
        isinstance(inputs, list)
        and isinstance(outputs, list)
        and isinstance(largest, list)
        and 1 <= len(inputs) <= MAX_STEPS
        and (len(outputs) == len(scaling) if scaling else 1 <= len(outputs) <= len(vocab))
        and all(is_point(one, scaling.inputs) if scaling else _is_token(one, len(vocab)) for one in inputs)
        and is_point(outputs, len(outputs))
        and is_point(largest, 0 if scaling or not largest else len(inputs))
        and type(atol := value.get("atol", TEST_TOLERANCE)) in (int, float)
        and 0 < atol <= LARGEST_TOLERANCE
    ):
        raise CellFileError("its test vector is damaged")
    read = tuple(tuple(map(float, one)) if scaling else one for one in inputs)
    return TestVector(read, tuple(map(float, outputs)), float(atol), tuple(map(float, largest)))


def _is_token(value: object, vocab: int) -> bool:
    return type(value) is int and 0 <= value < vocab


def is_point(value: object, width: int) -> bool:
    """Whether a JSON value is a list of so many numbers that float32 holds."""
    return (
        isinstance(value, list)
        and len(value) == width
        and all(type(number) in (int, float) and abs(number) <= FLOAT32_MAX for number in value)
    )
