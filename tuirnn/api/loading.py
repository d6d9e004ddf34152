"""`tuirnn.load`: a trained network, ready to work, from a cell file or a run."""

from pathlib import Path
from typing import Any, TypeVar, overload

from tuirnn.api.cell import Cell
from tuirnn.api.cells import KINDS, AnyCell
from tuirnn.api.runs import Run
from tuirnn.errors import ConfigError, one_line
from tuirnn.loading.cell import load_cell
from tuirnn.runs.layout import runs_folder
from tuirnn.runtime.opened import opened
from tuirnn.runtime.session import CellSession
from tuirnn.tasks.task import OpenCell, Stepper

C = TypeVar("C", bound=Cell)


@overload
def load(
    model: Run | str | Path, kind: None = None, *, checkpoint: str | int = "best", device: str = "auto",
    runs: str | Path | None = None,
) -> AnyCell: ...  # fmt: skip
@overload
def load(
    model: Run | str | Path, kind: type[C], *, checkpoint: str | int = "best", device: str = "auto",
    runs: str | Path | None = None,
) -> C: ...  # fmt: skip
def load(
    model: Run | str | Path,
    kind: type[Cell] | None = None,
    *,
    checkpoint: str | int = "best",
    device: str = "auto",
    runs: str | Path | None = None,
) -> Any:
    """A trained network, ready to work: `tuirnn.load("cell.onnx")`, `tuirnn.load(run)`.

    Args:
        model: a cell file, a run, or its name.
        kind: the class that it must be, which a type checker then knows: `load("cell.onnx", tuirnn.TextCell)`.
        checkpoint: of a run: 'best', 'last' or a step.
        device: 'auto', 'cpu' or 'cuda'.
        runs: folder of runs; None: `$TUIRNN_RUNS`, else `./checkpoints`.
    Returns:
        A `TextCell`, `Classifier`, `Tagger` or `Forecaster`, whichever its task is.
    Raises:
        CellFileError: a file that cannot be trusted.
        RunError: no such run or checkpoint.
        ConfigError: a network of another kind.
    """
    folder = runs_folder(None if runs is None else Path(runs))
    named = str(model.path.absolute()) if isinstance(model, Run) else str(model)
    trusted = load_cell(named, folder, str(checkpoint))
    shown = model.name if isinstance(model, Run) else one_line(Path(named).name, 80)
    found = KINDS.get(trusted.metadata.learned.python, Cell)
    if kind is not None and not issubclass(found, kind):
        raise ConfigError(f"{shown} {trusted.metadata.learned.does}: it is a {found.__name__}, not a {kind.__name__}")
    ready = _reusing(opened(trusted, shown, device))
    return found(shown, trusted, CellSession(trusted, device=device), ready, (named, folder))


def _reusing(cell: OpenCell) -> OpenCell:
    """The cell with its last stepper kept for as many sequences again: to open one takes milliseconds."""
    kept: dict[int, Stepper] = {}

    def stepper(batch: int) -> Stepper:
        if batch not in kept:
            kept.clear()
            kept[batch] = cell.stepper(batch)
        kept[batch].reset()
        return kept[batch]

    return OpenCell(cell.name, cell.metadata, stepper)
