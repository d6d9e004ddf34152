"""A run's numbers for other programs: CSV for spreadsheets, TensorBoard's own files."""

import csv
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tuirnn.errors import ConfigError, RunError, one_line
from tuirnn.escaping import for_csv
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import summarize
from tuirnn.runs.reader import ELAPSED, LogTail, as_number

COLUMNS = ("step", "split", "at", "loss", "loss_blocks", "grad_norm", "lr", ELAPSED)
"""What the trainer writes today; whatever else a record holds comes after these."""

UNIT = "loss_unit"
"""The last column: what `loss` is in, so that the tables of several runs can be put under one another."""


def rows(paths: RunPaths) -> Iterator[dict[str, Any]]:
    """The run's metrics in order; records without a step are passed over."""
    for record in LogTail(paths.metrics).records():
        if isinstance(record.get("step"), int):
            yield record


def to_csv(paths: RunPaths, target: Path | TextIO) -> int:
    """Write the metrics as CSV, one line a record; returns how many.

    Args:
        paths: the run.
        target: a file that is replaced whole, or an open stream.
    Raises:
        RunError: the file cannot be written.
    """
    if not isinstance(target, Path):
        return _write(paths, target)
    aside = ""
    try:
        descriptor, aside = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            count = _write(paths, file)
        os.chmod(aside, 0o644)
        os.replace(aside, target)
    except OSError as error:
        Path(aside).unlink(missing_ok=True) if aside else None
        raise RunError(f"cannot write {one_line(target)}: {error.strerror}; name another file with -o") from None
    return count


def _write(paths: RunPaths, file: TextIO) -> int:
    extra = {key: None for record in rows(paths) for key in record if key not in COLUMNS}
    columns = [*COLUMNS, *extra, UNIT]
    unit = summarize(paths).judgement.loss.unit
    table = csv.writer(file, lineterminator="\n")
    table.writerow([for_csv(key, 60) for key in columns])
    count = 0
    for record in rows(paths):
        table.writerow([*(for_csv(record.get(key, "")) for key in (*COLUMNS, *extra)), for_csv(unit)])
        count += 1
    return count


def to_tensorboard(paths: RunPaths, folder: Path) -> int:
    """Write the metrics as TensorBoard scalars, such as `train/loss`; returns how many.

    Raises:
        ConfigError: TensorBoard is not installed.
        RunError: the folder cannot be written.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise ConfigError(
            "--tensorboard needs TensorBoard; install it with: pip install 'tuirnn[tensorboard]'"
        ) from None
    count = 0
    try:
        writer = EventFileWriter(str(folder))
        for record in rows(paths):
            split = one_line(record.get("split", ""), 20)
            at = as_number(record.get("at"))
            for key, value in record.items():
                if key not in ("step", "at") and isinstance(value, (int, float, str)) and key != "split":
                    scalar = Summary.Value(tag=f"{split}/{one_line(key, 60)}", simple_value=as_number(value))
                    step = max(-(2**63), min(record["step"], 2**63 - 1))
                    writer.add_event(Event(wall_time=at, step=step, summary=Summary(value=[scalar])))
                    count += 1
        writer.close()
    except OSError as error:
        raise RunError(f"cannot write into {one_line(folder)}: {error.strerror}; name another folder") from None
    return count
