"""The one gate for cell files: a stranger's is first run in a process of its own, before this one runs it.

Inspection allows only forms that the exporter writes, but a runtime may still crash on a file that looks like a cell,
or take too long over it. So the official checker, ONNX Runtime and the test vectors meet it in a child with limits of
memory and time; whatever happens there is one line here. A file that has passed is remembered by its hash, together
with the versions that it passed under; what is exported here has been run already and is remembered too.
"""

import contextlib
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import platformdirs

from tuirnn import __version__
from tuirnn.cellfile.guard import MAX_BYTES, InspectedCell, TrustedCell, inspect, metadata_of, read_file
from tuirnn.errors import CellFileError, one_line
from tuirnn.files import atomic_write, read_bounded

MEMORY, PER_BYTE = 160 * 2**20, 40
"""Bytes of data that a trial may take: what the libraries need, and for each byte of the file: weights of four bits are
widened to 32, and a loader keeps five copies."""

PROCESSOR_SECONDS, SECONDS = 20, 60
"""What a trial may take: of the processor, and by the clock, where the machine is busy with something else."""

SHIPPED = frozenset({"6785b88bdecd66b1bbaa4eaa3a843b0a57a934206fbf3d92ca5ef29a55388d63"})
"""sha256 of the cells that come along."""

REMEMBERED = 4096
"""Files that are remembered; the oldest are forgotten."""

CHILD = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); "
    "from tuirnn.runtime import tried; tried.main(*map(int, sys.argv[1:]))"
)


def open_file(path: Path) -> TrustedCell:
    """Read, inspect and, where it is not known, try a cell file.

    Raises:
        CellFileError: the first reason not to trust it, with the file's name.
    """
    data, name = read_file(path), one_line(path.name)
    if is_known(data):  # these very bytes have passed all of it
        return TrustedCell(data, metadata_of(data))
    return admit(inspect(data, name), name)


def open_known(path: Path) -> TrustedCell | None:
    """The cell in a file that this installation has put aside; None where it is gone, or not one of the known."""
    with contextlib.suppress(CellFileError):
        data = read_bounded(path, MAX_BYTES, CellFileError)
        if is_known(data):
            return TrustedCell(data, metadata_of(data))
    return None


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


def is_known(data: bytes) -> bool:
    """Whether a file came along, was made here, or has passed its trial under the present versions."""
    digest = hashlib.sha256(data).hexdigest()
    if digest in SHIPPED:
        return True
    try:
        return _line(digest) in memory().read_bytes().splitlines()
    except OSError:
        return False


def remember(data: bytes) -> None:
    """Note that a file has been run without harm; where nothing can be kept, it is tried again the next time."""
    path, line = memory(), _line(hashlib.sha256(data).hexdigest())
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.read_bytes().splitlines() if path.exists() else []
        if line in known:
            return
        if len(known) >= REMEMBERED:
            atomic_write(path, b"".join(old + b"\n" for old in known[REMEMBERED // 2 :]), durable=False)
        with open(path, "ab", buffering=0) as file:  # one write: whoever else appends does not tear it
            file.write(line + b"\n")


def memory() -> Path:
    """Where hashes are kept: `$TUIRNN_KNOWN_CELLS`, else a file in the user's cache folder."""
    named = os.environ.get("TUIRNN_KNOWN_CELLS")
    return Path(named) if named else Path(platformdirs.user_cache_dir("tuirnn")) / "known-cells.txt"


def _line(digest: str) -> bytes:
    import onnxruntime

    return f"{digest} tuirnn-{__version__} onnxruntime-{onnxruntime.__version__} {platform.machine()}".encode()


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
