"""Signing a cell file again after its metadata were edited, so that the hash in it fits its content."""

import onnx
from google.protobuf.message import DecodeError

from tuirnn.cellfile.contract import FINGERPRINT
from tuirnn.cellfile.guard import fingerprint
from tuirnn.cellfile.wire import check_parts
from tuirnn.errors import CellFileError, one_line


def signed(data: bytes, name: str) -> tuple[bytes, bool]:
    """The file with the hash of its content.

    Args:
        data: its bytes.
        name: for errors.
    Returns:
        The bytes, to be inspected like a stranger's; whether the hash in `data` was another one, or missing.
    Raises:
        CellFileError: it is no ONNX file, or has fields that no cell has.
    """
    try:
        check_parts(data, len(data))
        model = onnx.ModelProto.FromString(data)
        said = [prop.value for prop in model.metadata_props if prop.key == FINGERPRINT]
        others = [prop for prop in model.metadata_props if prop.key != FINGERPRINT]
        made = fingerprint(model)
    except (DecodeError, ValueError, RecursionError) as error:
        raise CellFileError(f"{name} is not an ONNX file, or a damaged one: {one_line(error, 80)}") from None
    except CellFileError as error:
        raise CellFileError(f"{name} is refused: {error}") from None
    if said == [made]:
        return data, False
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    model.metadata_props.add(key=FINGERPRINT, value=made)
    return model.SerializeToString(deterministic=True), True
