"""Where a text stands, as a safetensors file: state, scores of the next token, bytes of an unfinished character.

The file is for any host: the tensors of the state have the names and shapes of the cell file's inputs, and `logits` is
[1, V], −∞ for the unknown symbol, which is never written. `undecoded` uint8 [n] is there only within a UTF-8 character.
Its metadata name the cell file by its hash.
"""

import math
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.sidecar import digest
from tuirnn.errors import DataError, one_line
from tuirnn.files import atomic_write, parse_json, read_bounded
from tuirnn.runtime.generate import Moment, TextWriter

LOGITS, UNDECODED, CELL = "logits", "undecoded", "tuirnn.cell_sha256"

LARGEST_HEADER = 100_000


def save_state(path: Path, writer: TextWriter, cell: TrustedCell) -> None:
    """Write where a writer stands.

    Args:
        path: the file, which is replaced.
        writer: at any moment.
        cell: that it writes with.
    Raises:
        DataError: the file cannot be written.
    """
    moment = writer.moment()
    tensors = dict(zip(cell.metadata.state_map.values(), moment.state, strict=True))
    tensors[LOGITS] = moment.logits.astype(np.float32)[None]
    if moment.undecoded[0]:
        tensors[UNDECODED] = np.frombuffer(moment.undecoded[0], np.uint8)
    try:
        atomic_write(path, save(tensors, {CELL: digest(cell.data)}))
    except OSError as error:
        raise DataError(f"cannot write the state to {one_line(path)}: {error.strerror}") from None


def load_state(path: Path, writer: TextWriter, cell: TrustedCell) -> None:
    """Put a writer where `save_state` left another one with the same cell; its random numbers stay its own.

    Raises:
        DataError: the file is damaged, or belongs to another cell.
    """
    now, V = writer.moment(), len(cell.metadata.vocab)
    shapes = {name: state.shape for name, state in zip(cell.metadata.state_map.values(), now.state, strict=True)}
    shapes[LOGITS] = (1, V)
    limit = 4 * sum(math.prod(shape) for shape in shapes.values()) + LARGEST_HEADER
    data = read_bounded(path, limit, DataError, follow_links=True)
    where = one_line(path.name)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where} is no saved state: {one_line(error, 80)}") from None
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")], where, DataError)
    if header.get("__metadata__", {}).get(CELL) != digest(cell.data):
        raise DataError(f"{where} was saved with another cell file; open it with that one, or save a state of this one")
    undecoded = tensors.pop(UNDECODED, np.zeros(0, np.uint8))
    if undecoded.dtype != np.uint8 or undecoded.ndim != 1 or len(undecoded) > 3:
        raise DataError(f"{where} is damaged: '{UNDECODED}' must be up to 3 bytes")
    found = {name: tensor.shape for name, tensor in tensors.items() if tensor.dtype == np.float32}
    if found != shapes or len(tensors) != len(shapes):
        raise DataError(f"{where} is damaged: expected float32 tensors {shapes}, got {found}")
    if not all(np.isfinite(tensors[name]).all() for name in cell.metadata.state_map.values()):
        raise DataError(f"{where} is damaged: its state has numbers that are not finite")
    state = tuple(tensors[name] for name in cell.metadata.state_map.values())
    scores = tensors[LOGITS][0].astype(np.float64)
    if np.isnan(scores).any() or not np.isfinite(scores.max()):
        raise DataError(f"{where} is damaged: its logits are not numbers")
    writer.go_to(Moment(state, scores, now.rng, (undecoded.tobytes(), 0)))
