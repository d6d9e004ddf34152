"""Signing a cell file again after its metadata were edited, so that the hash in it fits its content.

A language model's file of an earlier version also gets the key `opening`, which it lacks.
"""

import onnx

from tuirnn.cellfile.cell import InspectedCell
from tuirnn.cellfile.contract import FINGERPRINT, OPENING
from tuirnn.cellfile.guard import fingerprint, inspect, refusals
from tuirnn.cellfile.wire import check_parts


def signed(data: bytes, name: str) -> tuple[bytes, bool]:
    """The file with the hash of its content; `name` is for errors.

    Returns:
        The bytes, to be inspected like a stranger's; whether the hash in `data` was another one, or missing.
    Raises:
        CellFileError: it is no ONNX file, or has fields that no cell has.
    """
    with refusals(name):
        check_parts(data, len(data))
        model = onnx.ModelProto.FromString(data)
        said = [prop.value for prop in model.metadata_props if prop.key == FINGERPRINT]
        made = fingerprint(model)
    if said == [made]:
        return data, False
    return _serialized(model), True


def completed(cell: InspectedCell, name: str) -> tuple[InspectedCell, bool]:
    """The file with the key `opening`, if it is a language model's and lacks it; `name` is for errors.

    Returns:
        The file, inspected; whether the key was missing.
    """
    model = onnx.ModelProto.FromString(cell.data)
    if not cell.metadata.learned.writes or any(prop.key == OPENING for prop in model.metadata_props):
        return cell, False
    model.metadata_props.add(key=OPENING, value=str(cell.metadata.opening))
    return inspect(_serialized(model), name), True


def _serialized(model: onnx.ModelProto) -> bytes:
    """The bytes of a model with the hash of its content."""
    others = [prop for prop in model.metadata_props if prop.key != FINGERPRINT]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    model.metadata_props.add(key=FINGERPRINT, value=fingerprint(model))
    data: bytes = model.SerializeToString(deterministic=True)
    return data
