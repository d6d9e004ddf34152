"""The child in which a stranger's cell is run first: limits, the official checker, ONNX Runtime, one line of JSON."""

import contextlib
import json
import os
import signal
import sys

import onnx

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.guard import inspect
from tuirnn.errors import CellFileError, one_line
from tuirnn.runtime.verify import verify


def main(memory: int, processor: int, seconds: int) -> None:
    """Try the file on standard input within limits (see `limit`); print why it is refused, or null."""
    answer = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # native code may print what it likes
    limit(memory, processor, seconds)
    try:
        refused = _reason(sys.stdin.buffer.read())
    except MemoryError:
        refused = f"its first run takes more than {memory >> 20:,} MB of memory"
    answer.write(json.dumps({"refused": refused}) + "\n")
    answer.flush()
    os._exit(0)  # nothing is left to do, and a runtime's destructors are none of ours


def _reason(data: bytes) -> str | None:
    try:
        cell = inspect(data, "it")
        check(data)
        verify(TrustedCell(data, cell.metadata), device="cpu")
    except CellFileError as error:
        if "bad_alloc" in str(error) or "bad allocation" in str(error):
            raise MemoryError from None
        return str(error)
    return None


def check(data: bytes) -> None:
    """The official checker, shapes included.

    Raises:
        CellFileError: what it says.
    """
    try:
        onnx.checker.check_model(data, full_check=True)
    except MemoryError:
        raise
    except Exception as error:  # it raises several kinds of its own
        raise CellFileError(f"the ONNX checker refuses it: {one_line(error, 120)}") from None


def limit(memory: int, processor: int, seconds: int) -> None:
    """Bound bytes of data, seconds of the processor and by the clock, and files, where a system knows such limits."""
    with contextlib.suppress(ImportError):
        import resource

        for name, value in {"DATA": memory, "CPU": processor, "CORE": 0, "FSIZE": 0}.items():
            kind = getattr(resource, f"RLIMIT_{name}")
            with contextlib.suppress(ValueError, OSError):
                hard = resource.getrlimit(kind)[1]
                most = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(kind, (most, hard))
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)  # a child whose parent was killed ends too
