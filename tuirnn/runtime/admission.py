"""The one gate for cell files: a stranger's is first run in a process of its own, before this one runs it.

Inspection allows only forms that the exporter writes, but a runtime may still crash on a file that looks like a cell,
or take too long over it. So the official checker, ONNX Runtime and the test vectors meet it in a child with limits of
memory and time; whatever happens there is one line here. A file that has passed is known from then on, see `known`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tuirnn.cellfile.cell import InspectedCell, TrustedCell
from tuirnn.errors import CellFileError, one_line
from tuirnn.runtime.known import is_known, known_cell, measured, open_known, remember

SMALL = 2**25
"""Bytes of a file that is read into memory whatever it holds."""

MEMORY, PER_BYTE = 160 * 2**20, 40
"""Bytes of data that a trial may take: what the libraries need, and for each byte of the file: weights of four bits are
widened to 32, and a loader keeps five copies."""

PROCESSOR_SECONDS, SECONDS = 20, 60
"""What a trial may take: of the processor, and by the clock, where the machine is busy with something else."""

CHILD = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); "
    "from tuirnn.runtime import isolated; isolated.main(*map(int, sys.argv[1:]))"
)


def open_file(path: Path) -> TrustedCell:
    """Read, inspect and, where it is not known, try a cell file.

    Raises:
        CellFileError: the first reason not to trust it, with the file's name.
    """
    cell = open_known(path, SMALL, follow_links=True)
    if cell is None:
        from tuirnn.cellfile.guard import inspect, read_file  # they load ONNX, which a known file does without

        data, name = read_file(path), one_line(path.name)
        cell = known_cell(data) or admit(inspect(data, name), name)
    return measured(cell)


def admit(cell: InspectedCell, name: str) -> TrustedCell:
    """Let an inspected cell run here, after a trial where it is not known; `name` is for the error.

    Raises:
        CellFileError: it crashed, took too much, was refused by the checker or ONNX Runtime, or computes something
            else than its test vectors say.
    """
    if not is_known(cell.data):
        try:
            _try(cell.data)
        except CellFileError as error:
            raise CellFileError(f"{name} is refused: {error}") from None
        remember(cell.data)
    return TrustedCell(cell.data, cell.metadata)


def _try(data: bytes) -> None:
    """Run a file in a child process; raises CellFileError for whatever comes of it but success."""
    limit = MEMORY + PER_BYTE * len(data)
    limits = map(str, (limit, PROCESSOR_SECONDS, SECONDS))
    command = [sys.executable, "-P", "-c", CHILD, *limits, json.dumps(sys.path)]
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter, our own code)
            command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False,
            env={**os.environ, **alone},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CellFileError(f"its first run took more than {SECONDS} s") from None
    except OSError as error:
        raise CellFileError(f"no process could be started to try it in: {error.strerror}") from None
    lines = done.stdout.splitlines()
    with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
        said = json.loads(lines[-1])["refused"]
        if said is None:
            return
        raise CellFileError(one_line(said))
    raise CellFileError(_ending(done.returncode, limit))


def _ending(code: int, limit: int) -> str:
    """What a child without an answer died of."""
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"its first run took more than {PROCESSOR_SECONDS} s of the processor"
    if code >= 0:
        return f"its first run ended without an answer, exit code {code}; it may take {limit >> 20:,} MB of memory"
    with contextlib.suppress(ValueError):
        return (
            f"it crashes ONNX Runtime ({signal.Signals(-code).name}, in a process of its own); report it to its sender"
        )
    return f"it crashes ONNX Runtime (signal {-code}, in a process of its own)"
