"""The files that have been run here without harm, by their hashes: a trial is not held twice.

A hash stands together with the versions that its file passed under. What is exported here has been run already and is
known too.
"""

import contextlib
import hashlib
import os
import platform
from pathlib import Path

import platformdirs

from tuirnn import __version__
from tuirnn.cellfile.cell import MAX_BYTES, TrustedCell, reopened
from tuirnn.errors import CellFileError
from tuirnn.files import atomic_write, read_bounded

SHIPPED = frozenset({"6785b88bdecd66b1bbaa4eaa3a843b0a57a934206fbf3d92ca5ef29a55388d63"})
"""sha256 of the cells that come along."""

REMEMBERED = 4096
"""Files that are remembered; the oldest are forgotten."""


def open_known(path: Path) -> TrustedCell | None:
    """The cell in a file that this installation has put aside; None where it is gone, or not one of the known."""
    with contextlib.suppress(CellFileError):
        data = read_bounded(path, MAX_BYTES, CellFileError)
        if is_known(data):
            return reopened(data)
    return None


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
