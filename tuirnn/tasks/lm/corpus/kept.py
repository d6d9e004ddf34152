"""Encoded texts that are kept on the disk, to be mapped into memory instead of being encoded again.

A folder is named by a hash of all that decides its content: the text's bytes, how they are read, the vocabulary. It is
written aside and renamed when it is whole, so what an interrupted build leaves is never looked at. Beside the folders
`known` tells which of them belongs to which files, by their places, sizes and times: as long as these are the same, the
files are not read again. A note is only made where a file's last change is a while ago: one within the clock's
resolution would not show.
"""

import contextlib
import errno
import hashlib
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tuirnn import locking
from tuirnn.errors import DataError, RunError
from tuirnn.files import atomic_write, open_own, read_json, sync_folder, to_json, write_synced
from tuirnn.tasks import datasets
from tuirnn.vocab import Tokens

VERSION = 1

MOST_BYTES = 20 * 2**30
"""Of all texts that are kept; those that were not used for the longest time go first."""

SETTLED = 2.0
"""Seconds since a file's last change, from which its times are believed to show the next one."""

FORGOTTEN = 90 * 86_400.0
"""Seconds after which a note about files that was not used is removed."""

BEGINNING = 60.0
"""Seconds in which a build has taken the lock that shows that it lives."""

SPOTS, SPOT = 64, 4096
"""Places of a kept text that are compared with a hash when it is opened, and bytes at each."""

MOST_ABOUT = 256 * 2**20

TOKENS, ABOUT, LOCK, ASIDE = "tokens", "about.json", "lock", ".part-"


@dataclass(frozen=True)
class Kept:
    """An encoded text.

    Attributes:
        ids: its tokens, mapped from a file.
        about: what else is known of it, plain values.
    """

    ids: Tokens
    about: dict[str, Any]


def folder() -> Path:
    """Where encoded texts are."""
    return datasets.cache_folder() / "corpora"


def key(*values: Any) -> str:
    """A name for what these plain values decide."""
    return hashlib.sha256(to_json([VERSION, *values])).hexdigest()[:40]


# ── which text belongs to which files ─────────────────────────────────────────


def recall(listing: str) -> dict[str, Any] | None:
    """The note about some files; None where there is none.

    Args:
        listing: `key` of their places, sizes and times, and of how they are read.
    """
    try:
        return read_json(folder() / "known" / listing, MOST_ABOUT, DataError)
    except DataError:
        return None


def note(listing: str, changed: float, value: dict[str, Any]) -> None:
    """Keep a note about some files, the last of which was changed at `changed`; nothing where it cannot be written."""
    if time.time() - changed < SETTLED:
        return
    path = folder() / "known" / listing
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, to_json(value), durable=False)


# ── the texts ─────────────────────────────────────────────────────────────────


def find(name: str) -> Kept | None:
    """The text of this `key`; None where there is none, or none that is whole.

    Its size, and a sample of its bytes, are compared with what was written.
    """
    place = folder() / name
    try:
        about = read_json(place / ABOUT, MOST_ABOUT, RunError)
        with open(open_own(place / TOKENS), "rb") as file:
            dtype = np.dtype(str(about["dtype"]))
            if dtype.kind != "u" or spots(file) != about["spots"]:
                raise ValueError("damaged")
            kept = Kept(mapped(file, dtype), about)
        if len(kept.ids) != about["tokens"]:
            raise ValueError("damaged")
    except (RunError, OSError, ValueError, KeyError, TypeError):
        shutil.rmtree(place, ignore_errors=True)
        return None
    with contextlib.suppress(OSError):
        os.utime(place)
    return kept


def mapped(file: BinaryIO, dtype: "np.dtype[Any]") -> Tokens:
    """The ids in an open file, mapped; they outlive the file's name.

    Raises:
        MemoryError: a limit of this process leaves no room for it.
    """
    try:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError from None
        raise


def spots(file: BinaryIO) -> str:
    """A hash of a file's size and of a sample of its bytes, spread evenly over it."""
    size = os.fstat(file.fileno()).st_size
    sha = hashlib.sha256(b"%d" % size)
    for number in range(SPOTS):
        file.seek(max(0, size - SPOT) * number // (SPOTS - 1))
        sha.update(file.read(SPOT))
    return sha.hexdigest()


@contextlib.contextmanager
def building() -> Iterator[BinaryIO]:
    """A new file for tokens; `publish` makes it a kept text, without it nothing stays.

    Raises:
        DataError: the disk refuses.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True)
        tidy()
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=folder()))
        with locking.held(aside / LOCK):
            try:
                with (aside / TOKENS).open("w+b") as file:
                    yield file
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"cannot keep the encoded text in {folder()} ({error.strerror}); make room there, or set TUIRNN_DATA to "
            "another folder"
        ) from None


def publish(name: str, file: BinaryIO, about: dict[str, Any]) -> Tokens:
    """Keep what stands in the file of `building` under a `key`; returns the tokens, mapped.

    Another process may have been first, with the same.
    """
    file.flush()
    os.fsync(file.fileno())
    ids = mapped(file, np.dtype(about["dtype"]))
    aside, place = Path(file.name).parent, folder() / name
    write_synced(aside / ABOUT, to_json({**about, "spots": spots(file)}))
    with contextlib.suppress(OSError):  # another was first
        aside.rename(place)
        (place / LOCK).unlink(missing_ok=True)
        sync_folder(folder())
    return ids


def tidy() -> None:
    """Remove what interrupted builds have left, the texts beyond `MOST_BYTES`, and old notes."""
    now, total = time.time(), 0
    for since, path in sorted(_ages(folder()), reverse=True):
        if path.name.startswith(ASIDE):
            if now - since > BEGINNING and _abandoned(path):
                shutil.rmtree(path, ignore_errors=True)
            continue
        with contextlib.suppress(OSError):
            total += sum(file.stat().st_size for file in path.iterdir())
        if total > MOST_BYTES:
            shutil.rmtree(path, ignore_errors=True)
    for since, path in _ages(folder() / "known"):
        if now - since > FORGOTTEN:
            path.unlink(missing_ok=True)


def _abandoned(aside: Path) -> bool:
    """Whether nobody is writing there any more."""
    try:
        with locking.held(aside / LOCK) as lock:
            return not lock.lacking
    except (locking.Taken, OSError):
        return False


def _ages(place: Path) -> Sequence[tuple[float, Path]]:
    found = []
    with contextlib.suppress(OSError):
        for path in place.iterdir():
            if path.name != "known":
                found.append((path.stat().st_mtime, path))
    return found
