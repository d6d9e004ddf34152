"""A cell file as tasks run it."""

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import one_line
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.task import OpenCell


def opened(cell: TrustedCell, name: str, device: str = "auto") -> OpenCell:
    """A cell that runs through ONNX Runtime.

    Args:
        cell: the file.
        name: the model as the user named it.
        device: 'auto', 'cpu' or 'cuda'.
    """

    def stepper(batch: int) -> CellSession:
        return CellSession(cell, device=device, batch=batch if batch > 1 else None)  # one fits any fixed batch

    return OpenCell(one_line(name), cell.metadata, stepper)
