"""The cell that a person means by RUN or FILE.onnx."""

from pathlib import Path

from tuirnn import shipped
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.loading import kept
from tuirnn.runs.layout import RunPaths, find_run


def load_cell(name: str, folder: Path, which: str = "best") -> TrustedCell:
    """The cell in the file `name` (ending in .onnx), or of the run `name` in `folder`.

    A run's checkpoint is exported once; the export is kept and reused until the checkpoint changes.

    Args:
        name: a path, the name of the cell file that comes with the program, or a run's name.
        folder: of runs.
        which: a run's checkpoint: 'best', 'last' or a step.
    Raises:
        CellFileError: a file that cannot be trusted.
        RunError: no such run or checkpoint, or a damaged one.
    """
    if name.endswith(".onnx"):
        from tuirnn.runtime.admission import open_file

        return open_file(shipped.cell_path(name))
    paths = find_run(folder, name)
    return kept.find(paths, which) or _export(paths, which)


def _export(paths: RunPaths, which: str) -> TrustedCell:
    """Export a run's checkpoint, and keep the export."""
    from tuirnn.export.exporter import export_network
    from tuirnn.export.network import network_of
    from tuirnn.runs import checkpoint
    from tuirnn.runs.reader import read_record

    record = read_record(paths)
    saved = checkpoint.load(paths, which)
    cell = export_network(network_of(paths, record, saved), proofs=False)
    return kept.keep(kept.key(paths, saved.manifest), cell)
