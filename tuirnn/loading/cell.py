"""The cell that a person means by RUN or FILE.onnx."""

from pathlib import Path

from tuirnn.cellfile.guard import TrustedCell
from tuirnn.export.exporter import export_run
from tuirnn.runs.layout import find_run
from tuirnn.runtime.trial import open_file


def load_cell(name: str, folder: Path, which: str = "best") -> TrustedCell:
    """The cell in the file `name` (ending in .onnx), or of the run `name` in `folder`.

    Args:
        name: a path, or a run's name.
        folder: of runs.
        which: a run's checkpoint: 'best', 'last' or a step.
    Raises:
        CellFileError: a file that cannot be trusted.
        RunError: no such run or checkpoint, or a damaged one.
    """
    if name.endswith(".onnx"):
        return open_file(Path(name))
    return export_run(find_run(folder, name), which, proofs=False)
