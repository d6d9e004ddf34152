"""Whether a cell file computes what it says: its test vectors, in ONNX Runtime."""

from tuirnn.cellfile.guard import TrustedCell
from tuirnn.runtime.session import CellSession, pick_device
from tuirnn.runtime.unrolled import UnrolledSession


def verify(cell: TrustedCell, *, device: str = "auto") -> str:
    """Run a file of either form against its own test vectors; returns the provider's name.

    Raises:
        CellFileError: it cannot be run, or the numbers differ.
    """
    if cell.metadata.unroll > 1:
        UnrolledSession(cell, device=device)
        return "CPU" if pick_device(device) == "cpu" else "CUDA"
    return CellSession(cell, device=device).provider
