"""The data that a run or cell file was trained on, checked to be the same."""

from pathlib import Path

from tuirnn import tasks
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.cellfile.guard import read_cell
from tuirnn.config import DataConfig
from tuirnn.errors import DataError, nearest, one_line
from tuirnn.runs.layout import RunPaths, find_run
from tuirnn.runs.reader import present_record
from tuirnn.tasks import TaskData, datasets, lm, sources
from tuirnn.vocab import Ids, Vocabulary

LEARNED = {"classify": "labelled sequences", "forecast": "a series of numbers"}
"""What the tasks without a text learn from."""


def held_out(name: str, folder: Path, cell: TrustedCell) -> Ids:
    """The validation split that a run kept apart, or that of the data set a cell file names.

    Raises:
        DataError: the data has changed or is not known.
    """
    if name.endswith(".onnx"):
        return _named_text(name, cell.metadata).val
    return run_text(find_run(folder, name)).val


def _named_text(name: str, metadata: CellMetadata) -> lm.TextData:
    """The data set that a cell file says it was trained on: a name that `tuirnn data ls` has, never a path."""
    file, asked = one_line(Path(name).name), metadata.data
    if metadata.task in LEARNED:
        raise DataError(f"{file} has learned from {LEARNED[metadata.task]}, not from a text")
    if not asked:
        raise DataError(f"{file} does not name the text it was trained on; give one with --text FILE")
    if asked not in (known := datasets.dataset_names()):
        raise DataError(f"{file} names '{one_line(asked, 60)}' as its text, no data set: {nearest(asked, known)}")
    return lm.load(DataConfig(sources=(asked,), tokens=metadata.vocab.kind), vocab=metadata.vocab, named=True)


def run_data(paths: RunPaths) -> TaskData:
    """The data of a run, checked to be what the run was trained on."""
    record = present_record(paths)
    data = tasks.load(record.config.data, vocab=record.vocab, known=record.data, stdin=paths.stdin)
    if data.sha256 != record.data.get("sha256"):
        raise DataError(
            f"the data of run '{paths.name}' has changed since it was trained; give a text with --text FILE"
        )
    return data


def run_text(paths: RunPaths) -> lm.TextData:
    """As `run_data`, of a language model.

    Raises:
        DataError: the run is of another task.
    """
    data = run_data(paths)
    if not isinstance(data, lm.TextData):
        learned = LEARNED[present_record(paths).config.data.task]
        raise DataError(f"run '{paths.name}' has learned from {learned}, not from a text")
    return data


def text_ids(path: str, vocab: Vocabulary) -> Ids:
    """Token ids of a text to evaluate on.

    Raises:
        DataError: unreadable, or shorter than two tokens.
    """
    source = sources.load((path,))
    ids = lm.token_ids(source, vocab)
    if len(ids) < 2:
        raise DataError(f"{source.name} has fewer than two tokens; there is nothing to predict")
    return ids


def training_text(name: str, folder: Path) -> str:
    """The text that a run or cell file was trained on, its training split alone.

    Raises:
        DataError: the data has changed or is not known.
        RunError, CellFileError: no such run or file.
    """
    if not name.endswith(".onnx"):
        data = run_text(find_run(folder, name))
    else:
        metadata = read_cell(Path(name)).metadata
        if metadata.data in datasets.DATASETS and not datasets.is_here(metadata.data):
            raise DataError(f"its text is not here yet: tuirnn data get {metadata.data}")
        data = _named_text(name, metadata)
    return data.vocab.decode(data.train.tolist())
