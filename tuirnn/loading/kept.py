"""Exports of checkpoints that are kept: one cell file each in the user's cache folder, reused until something changes.

A run's folder has one writer, its trainer; so what a reader makes of it is kept elsewhere, beside the list of known
cells. A file from there is believed no more than any other: bytes that are not on that list are exported anew.
"""

import contextlib
import hashlib
import os
import time
from functools import cache
from pathlib import Path

import tuirnn
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import RunError
from tuirnn.files import atomic_write, read_bounded
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import MAX_RECORD_BYTES, RunPaths
from tuirnn.runtime import known

FORM = "fp32, every other option by default, without lanes and text"
"""The form of an export that is kept: what a program on this machine needs, without the proofs for others."""

FILES, BYTES = 64, 1 << 30
"""What is kept at most; the files that have not been used for the longest time go first."""

STALE_SECONDS = 3_600
"""Age from which a half-written file is one whose writer was killed."""


def key(paths: RunPaths, manifest: str) -> str:
    """What a kept export is called: changes with all that it depends on.

    Args:
        paths: the run.
        manifest: sha256 of the checkpoint's manifest.
    Raises:
        RunError: the run's record cannot be read.
    """
    record = hashlib.sha256(read_bounded(paths.record, MAX_RECORD_BYTES)).hexdigest()
    parts = (manifest, record, tuirnn.__version__, _sources(), FORM)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def _sources() -> str:
    """Changes with the package's sources: the version does not tell a cell's definition from what it was last week."""
    digest, folders = hashlib.sha256(), [Path(tuirnn.__file__).parent]
    while folders:
        for entry in sorted(os.scandir(folders.pop()), key=lambda entry: entry.name):
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif entry.name.endswith(".py"):
                found = entry.stat()
                digest.update(f"{entry.path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def find(paths: RunPaths, which: str = "best") -> TrustedCell | None:
    """The kept export of a run's checkpoint, or None.

    Args:
        paths: the run.
        which: 'best', 'last' or a step.
    """
    try:
        path = _path(key(paths, checkpoint.identity(paths, which)))
    except RunError:
        return None  # whoever reads the checkpoint itself says it better
    cell = known.open_known(path)
    if cell is None:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return known.measured(cell)


def keep(name: str, cell: TrustedCell) -> TrustedCell:
    """Keep an export for the next time, after ONNX Runtime has reproduced its test vector.

    Where it cannot be kept, or computes something else, nothing is kept and it is made again the next time.

    Args:
        name: its `key`.
        cell: the export.
    Returns:
        The cell, with the number of threads that was measured.
    """
    cell = known.measured(cell)
    if cell.threads is not None:
        with contextlib.suppress(OSError):
            path = _path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, cell.data, durable=False)
            _tidy(path.parent)
    return cell


def _path(name: str) -> Path:
    return known.memory().with_name("kept-cells") / f"{name}.onnx"


def _tidy(folder: Path) -> None:
    """Remove what is beyond the limits, the longest unused first, and what killed writers have left."""
    found = sorted(((entry.stat(), entry.path) for entry in os.scandir(folder)), key=lambda one: -one[0].st_mtime)
    files = size = 0
    for status, path in found:
        if path.endswith(".onnx"):
            files, size = files + 1, size + status.st_size
            unwanted = files > FILES or size > BYTES
        else:
            unwanted = time.time() - status.st_mtime > STALE_SECONDS
        if unwanted:
            Path(path).unlink(missing_ok=True)
