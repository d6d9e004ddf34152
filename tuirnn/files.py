"""Files that are whole or not there: atomic writes, bounded reads, JSON without surprises."""

import errno
import json
import math
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tuirnn.errors import RunError, TuirnnError, one_line

SMALL_JSON_BYTES = 64 * 2**10
"""Enough for every JSON file but the record, which holds the vocabulary."""


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable (POSIX; a no-op where folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, data: bytes) -> None:
    """Write `data` to a new file at `path` and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def atomic_write(path: Path, data: bytes | memoryview, *, durable: bool = True) -> None:
    """Replace `path` with `data` in one step: readers see the old bytes or the new ones, never a mixture.

    Args:
        path: the file; its folder must exist.
        data: the whole new content.
        durable: also survive a power cut (fsync of file and folder).
    Raises:
        OSError: the disk is full, read-only and so on; nothing is left behind.
    """
    atomic_write_all({path: data}, durable=durable)


def atomic_write_all(files: Mapping[Path, bytes | memoryview], *, durable: bool = True) -> None:
    """As `atomic_write`, for several files: none is replaced before all are on the disk."""
    aside: dict[str, Path] = {}
    try:
        for path, data in files.items():
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            aside[name] = path
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.chmod(name, 0o644)
        for name, path in aside.items():
            os.replace(name, path)
    except BaseException:
        for name in aside:
            Path(name).unlink(missing_ok=True)
        raise
    if durable:
        for folder in {path.parent for path in files}:
            sync_folder(folder)


def open_own(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file that a run directory should hold itself; returns the descriptor.

    A link could lead anywhere, a pipe could wait for ever: neither is followed or waited for.

    Raises:
        OSError: it is not there, cannot be opened, or is not a regular file.
    """
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o644)
    except OSError as failure:
        if failure.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file")
    return descriptor


def read_bounded(
    path: Path,
    limit: int,
    error: type[TuirnnError] = RunError,
    *,
    follow_links: bool = False,
    glance: Callable[[BinaryIO, int], None] | None = None,
) -> bytes:
    """The bytes of a regular file of at most `limit` bytes.

    Args:
        path: the file.
        limit: more bytes than this are not read.
        error: what to raise.
        follow_links: only for a path that a person gave; inside a run directory nothing is a link.
        glance: is handed the open file and its size first, and raises where it is not worth reading.
    Raises:
        error: with one line, for anything else.
    """
    try:
        with open(open_own(path.resolve(strict=True) if follow_links else path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if glance is not None and size <= limit:
                glance(file, size)
                file.seek(0)
            data = file.read(size + 1) if size <= limit else b""
            large = max(size, len(data)) > limit
    except (OSError, ValueError) as failure:  # ValueError: a zero byte in the path
        why = getattr(failure, "strerror", None) or failure
        raise error(f"cannot read {one_line(path)}: {why}") from None
    except MemoryError:
        raise error(f"{one_line(path)} does not fit into this machine's memory") from None
    if large:
        raise error(f"{one_line(path)} is larger than {limit:,} bytes; it is not what tuirnn writes")
    return data


def to_json(value: Any, *, indent: int | None = None) -> bytes:
    """`value` as JSON; numbers that JSON lacks become the strings 'NaN', 'Infinity' and '-Infinity'."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return text.encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def parse_json(data: bytes, where: str, error: type[TuirnnError] = RunError) -> Any:
    """Parse JSON bytes; raises `error` with one line for anything that is not JSON."""
    try:
        return json.loads(data)
    except MemoryError:
        raise error(f"{where} does not fit into this machine's memory") from None
    except (ValueError, RecursionError) as failure:
        raise error(f"{where} is damaged: {one_line(failure, 120)}") from None


def read_json(path: Path, limit: int = SMALL_JSON_BYTES, error: type[TuirnnError] = RunError) -> dict[str, Any]:
    """The JSON object in a file of at most `limit` bytes; raises `error` with one line otherwise."""
    value = parse_json(read_bounded(path, limit, error), one_line(path), error)
    if not isinstance(value, dict):
        raise error(f"{one_line(path)} is damaged: expected a JSON object, got {type(value).__name__}")
    return value
