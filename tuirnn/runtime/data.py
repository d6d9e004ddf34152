"""The data that a run or cell file was trained on, checked to be the same."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn import shipped, tasks
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.cellfile.guard import read_cell
from tuirnn.errors import DataError, one_line
from tuirnn.runs.layout import RunPaths, find_run
from tuirnn.runs.reader import present_record
from tuirnn.tables.given import Given
from tuirnn.tasks import datasets
from tuirnn.tasks.lm.data import TextData
from tuirnn.tasks.task import Held, TaskData
from tuirnn.vocab import Tokens, code_points


def run_data(paths: RunPaths) -> TaskData:
    """The data of a run; raises DataError where they are not what the run was trained on."""
    record = present_record(paths)
    data = tasks.load(record.config.data, vocab=record.vocab, known=record.data, stdin=paths.stdin)
    if data.sha256 != record.data.get("sha256"):
        raise DataError(
            f"the data of run '{paths.name}' has changed since it was trained; give a text with --text FILE"
        )
    return data


def measured_on(
    model: str,
    folder: Path,
    metadata: CellMetadata,
    given: str | None,
    reading: Given | None = None,
    origins: int = 32,
) -> Held:
    """What a model is to be evaluated on.

    Args:
        model: a run of `folder`, or a cell file.
        folder: of runs.
        metadata: of the model.
        given: a file or data set that the user named; None: the model's own data.
        reading: what the user says about the file.
        origins: see `Held`.
    """
    reading = reading or Given()
    if model.endswith(".onnx"):
        return Held(given, lambda: file_data(model, metadata), reading=reading, origins=origins)
    paths = find_run(folder, model)
    record = present_record(paths)
    leaky = given is None and record.leaky
    horizon = record.config.train.horizon
    return Held(given, lambda: run_data(paths), leaky, horizon, origins, reading, read_before(model, folder))


def read_before(model: str, folder: Path) -> Mapping[str, Any]:
    """How a run has read its data; nothing for a cell file, or where that was not kept."""
    if model.endswith(".onnx"):
        return {}
    read = present_record(find_run(folder, model)).data.get("read")
    return read if isinstance(read, dict) else {}


def file_data(name: str, metadata: CellMetadata) -> TaskData:
    """The data set that a cell file says it was trained on: a name that `tuirnn data ls` has, never a path."""
    try:
        return metadata.learned.named(metadata)
    except DataError as error:
        raise DataError(f"{one_line(Path(name).name)}: {error}") from None


def held_out(model: str, folder: Path, metadata: CellMetadata) -> Tokens:
    """The validation split [n] of a language model; see `run_text` and `file_data`."""
    if not model.endswith(".onnx"):
        return run_text(find_run(folder, model)).val
    data = file_data(model, metadata)
    assert isinstance(data, TextData)
    return data.val


def run_text(paths: RunPaths) -> TextData:
    """As `run_data`, of a language model; raises DataError for a run of another task."""
    task = present_record(paths).config.task
    if not task.writes:
        raise DataError(f"run '{paths.name}' was trained on {task.source}, not on a text")
    data = run_data(paths)
    assert isinstance(data, TextData)
    return data


def training_text(name: str, folder: Path) -> tuple[Callable[[], Iterator[npt.NDArray[np.uint32]]], int]:
    """The text that a run or cell file was trained on, its training split alone.

    Returns:
        what reads it from its beginning, piece by piece, as code points; and its length in tokens.
    Raises:
        DataError: the data has changed, is not known, or is no text.
        RunError, CellFileError: no such run or file.
    """
    if not name.endswith(".onnx"):
        data: TaskData = run_text(find_run(folder, name))
    else:
        metadata = read_cell(shipped.cell_path(name)).metadata
        if metadata.data in datasets.DATASETS and not datasets.is_here(metadata.data):
            raise DataError(f"its text is not here yet: tuirnn data get {metadata.data}")
        data = file_data(name, metadata)
    assert isinstance(data, TextData)
    vocab, ids = data.vocab, data.train
    return lambda: code_points(vocab, ids), len(ids)
