"""The sidecar: a JSON file beside a cell file with the same metadata, for hosts whose API hides metadata."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tuirnn.cellfile.contract import FINGERPRINT, PREFIX, ZEROS, CellMetadata
from tuirnn.errors import CellFileError, one_line
from tuirnn.files import parse_json, read_bounded

MAX_BYTES = 128 * 2**20

SHA256 = "sha256"
"""Key of the hash of the ONNX file, by which a host checks that both files belong together."""

STRUCTURED = (
    "vocab", "classes", "normalisation", "look_back", "val_mse", "calibration",
    "state_map", "test_vector", "test_lanes", "test_text",
    "layers", "hidden", "unk", "val_bpc", "loss", "sampler", "unroll", "block", "opening", "state_init", "card",
)  # fmt: skip
"""Metadata keys whose values are JSON."""


def digest(data: bytes) -> str:
    """Compute the hash of an ONNX file, as hexadecimal text."""
    return hashlib.sha256(data).hexdigest()


def interface(metadata: CellMetadata, batch: int | None) -> dict[str, Any]:
    """Describe the inputs and outputs: dtype and shape by name; `batch` is the fixed batch size, if any."""
    sides = zip(("inputs", "outputs"), metadata.interface(batch or "batch"), strict=True)
    return {
        side: {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in values.items()}
        for side, values in sides
    }


def contents(data: bytes, metadata: CellMetadata, batch: int | None) -> dict[str, Any]:
    """Return the contents of the sidecar: parsed metadata, interface of the graph, hash of the file.

    Args:
        data: the ONNX file.
        metadata: of the file.
        batch: fixed size of its batch axis; None if it is dynamic.
    """
    values: dict[str, Any] = {}
    for key, text in metadata.to_strings().items():
        structured = key.split(".")[-1] in STRUCTURED and text != ZEROS
        values[key] = (json.loads(text) if text and text != "nan" else None) if structured else text
    return {**values, **interface(metadata, batch), SHA256: digest(data)}


def check(path: Path, data: bytes, properties: dict[str, str], metadata: CellMetadata, batch: int | None) -> str | None:
    """Check a sidecar against its ONNX file.

    Args:
        path: of the sidecar.
        data: the ONNX file.
        properties: its metadata as strings.
        metadata: its parsed metadata.
        batch: fixed size of its batch axis; None if it is dynamic.
    Returns:
        The result as a short sentence; None if there is no sidecar.
    Raises:
        CellFileError: the sidecar is damaged or differs from the file.
    """
    if not path.exists():
        return None
    name = one_line(path.name)
    said = parse_json(read_bounded(path, MAX_BYTES, CellFileError, follow_links=True), name, CellFileError)
    if not isinstance(said, dict):
        raise CellFileError(f"{name} is damaged: expected a JSON object, got {type(said).__name__}")
    told = {key: text for key, text in properties.items() if key.startswith(PREFIX) and key != FINGERPRINT}
    keys = sorted(told.keys() | {key for key in said if key.startswith(PREFIX)})
    wrong = [key for key in keys if key not in told or not _same(said.get(key), told[key])]
    wrong += [side for side, values in interface(metadata, batch).items() if not _fits(said.get(side), values)]
    if not wrong and said.get(SHA256, digest(data)) != digest(data):
        wrong = [SHA256]
    if wrong:
        raise CellFileError(
            f"{name} differs from the ONNX file beside it in {one_line(', '.join(wrong), 120)}: hosts that read it "
            "would compute something else; export both again, or remove it"
        )
    return f"{name} agrees" + ("" if SHA256 in said else ", without the file's hash, which older exports lack")


def _same(value: Any, text: str) -> bool:
    """Return whether a JSON value equals a metadata string, or the JSON value in it."""
    if value == text or (value is None and text in ("", "nan")):
        return True
    try:
        return bool(json.loads(text) == value)
    except (ValueError, RecursionError):
        return False


def _fits(said: Any, expected: dict[str, Any]) -> bool:
    """Return whether inputs or outputs agree; a named dimension of older exports agrees with any number."""
    if not isinstance(said, dict) or said.keys() != expected.keys():
        return False
    for name, value in expected.items():
        found = said[name]
        shape = found.get("shape") if isinstance(found, dict) else None
        if not isinstance(shape, list) or found.get("dtype") != value["dtype"] or len(shape) != len(value["shape"]):
            return False
        if any(type(a) is type(b) and a != b for a, b in zip(shape, value["shape"], strict=True)):
            return False
    return True
