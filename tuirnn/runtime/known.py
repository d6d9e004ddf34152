"""The files that have been run here without harm, by their hashes: a trial is not held twice, and no measurement.

A hash is listed with the versions that its file passed under. What is exported here has been run already and is known
too. A second line lists the number of threads with which a session of the file is fastest on this machine, and which
has reproduced the file's test vector: sessions of that kind are opened without checking either again.
"""

import contextlib
import hashlib
import os
import platform
from dataclasses import replace
from pathlib import Path

import platformdirs

from tuirnn import __version__
from tuirnn.cellfile.cell import MAX_BYTES, TrustedCell, reopened
from tuirnn.errors import CellFileError, TuirnnError
from tuirnn.files import atomic_write, read_bounded

SHIPPED = frozenset({"5f18cabdf4aafb395f74950b23c18aba9041cc7a8cbf218093de4f84466401ff"})
"""sha256 of the cells that come along."""

REMEMBERED = 4096
"""Files that are remembered; the oldest are forgotten."""


def open_known(path: Path, limit: int = MAX_BYTES, *, follow_links: bool = False) -> TrustedCell | None:
    """The cell in a file whose bytes are known; ONNX is not loaded.

    Args:
        path: the file.
        limit: bytes that are read at most.
        follow_links: only for a path that a person gave.
    Returns:
        The cell; None where the file cannot be read, is larger, or is not one of the known.
    """
    with contextlib.suppress(CellFileError):
        return known_cell(read_bounded(path, limit, CellFileError, follow_links=follow_links))
    return None


def known_cell(data: bytes) -> TrustedCell | None:
    """The cell in the bytes of a file; None where they are not known."""
    known, threads = _recall(data)
    return replace(reopened(data), threads=threads) if known else None


def is_known(data: bytes) -> bool:
    """Whether a file came along, was made here, or has passed its trial under the present versions."""
    return _recall(data)[0]


def measured(cell: TrustedCell) -> TrustedCell:
    """The cell with the number of threads that is fastest for it here; measured where it is not known, and remembered.

    Returns:
        The cell; unchanged where ONNX Runtime cannot step it, or its test vector is not reproduced.
    """
    from tuirnn.runtime.session import CellSession

    if cell.threads is not None or cell.metadata.steps > 1:
        return cell
    try:
        session = CellSession(cell, device="cpu")
    except TuirnnError:
        return cell  # whoever runs it gets the same error, with its reason
    remember(cell.data, session.threads)
    return replace(cell, threads=session.threads)


def remember(data: bytes, threads: int | None = None) -> None:
    """Note that a file has been run without harm; where nothing can be kept, it is tried again the next time.

    Args:
        data: the file's bytes.
        threads: see `TrustedCell`.
    """
    path, digest = memory(), hashlib.sha256(data).hexdigest()
    lines = [_line(digest)] if threads is None else [_line(digest), b"%s%d" % (_threads_line(digest), threads)]
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.read_bytes().splitlines() if path.exists() else []
        new = b"".join(line + b"\n" for line in lines if line not in known)
        if not new:
            return
        if len(known) >= REMEMBERED:
            atomic_write(path, b"".join(old + b"\n" for old in known[REMEMBERED // 2 :]), durable=False)
        with open(path, "ab", buffering=0) as file:  # one write: whoever else appends does not tear it
            file.write(new)


def memory() -> Path:
    """Where hashes are kept: `$TUIRNN_KNOWN_CELLS`, else a file in the user's cache folder."""
    named = os.environ.get("TUIRNN_KNOWN_CELLS")
    return Path(named) if named else Path(platformdirs.user_cache_dir("tuirnn")) / "known-cells.txt"


def _recall(data: bytes) -> tuple[bool, int | None]:
    """Whether a file is known, and its number of threads where that is known too."""
    digest = hashlib.sha256(data).hexdigest()
    try:
        lines = memory().read_bytes().splitlines()
    except OSError:
        lines = []
    known, prefix = digest in SHIPPED or _line(digest) in lines, _threads_line(digest)
    counts = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    possible = {b"%d" % count: count for count in range(1, (os.cpu_count() or 1) + 1)}
    return known, next((possible[count] for count in counts if count in possible), None) if known else None


def _threads_line(digest: str) -> bytes:
    """The beginning of the line with a file's number of threads: true of this machine, and of so many cores."""
    return _line(digest) + f" {platform.node()} cores-{os.cpu_count() or 1} threads-".encode()


def _line(digest: str) -> bytes:
    import onnxruntime

    return f"{digest} tuirnn-{__version__} onnxruntime-{onnxruntime.__version__} {platform.machine()}".encode()
