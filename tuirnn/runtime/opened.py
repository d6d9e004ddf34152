"""A cell file as tasks run it."""

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import one_line
from tuirnn.runtime.block import BlockSession
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.task import OpenCell


def opened(cell: TrustedCell, name: str, device: str = "auto") -> OpenCell:
    """A cell that runs through ONNX Runtime.

    Args:
        cell: the file.
        name: the model as the user named it.
        device: 'auto', 'cpu' or 'cuda'.
    """

    def stepper(batch: int) -> CellSession | BlockSession:
        if cell.metadata.block:
            return BlockSession(cell, device=device, batch=None if batch == 1 else batch)
        if batch == 1:  # fits any fixed batch
            return CellSession(cell, device=device)
        return CellSession(cell, device=device, batch=batch, threads=1)  # many lanes: one thread a session is fastest

    return OpenCell(one_line(name), cell.metadata, stepper)
