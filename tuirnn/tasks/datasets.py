"""Named data sets: where each comes from, its checksum, and the cache folder that keeps it."""

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.files import atomic_write

DEFAULT = "default"
"""Name of the embedded text: CPython's own language reference, `pydoc_data.topics`."""

DOWNLOAD_TIMEOUT = 30.0


@dataclass(frozen=True)
class Dataset:
    """One downloadable file: `url` must deliver exactly the bytes that hash to `sha256`."""

    file: str
    url: str
    sha256: str
    bytes: int
    about: str


DATASETS: dict[str, Dataset] = {
    "shakespeare": Dataset(
        "shakespeare.txt",
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        1_115_394,
        "tiny Shakespeare: 40,000 lines of plays, 65 characters; public-domain text",
    ),
    "baby-names": Dataset(
        "baby-names.txt",
        "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        228_145,
        "32,033 first names, one a line; MIT",
    ),
}


def cache_folder() -> Path:
    """Where downloads are kept: `$TUIRNN_DATA`, else the user's cache folder."""
    named = os.environ.get("TUIRNN_DATA")
    return Path(named) if named else Path(platformdirs.user_cache_dir("tuirnn"))


def dataset_names() -> list[str]:
    """Every name that `fetch` and the command line know, the embedded text first."""
    return [DEFAULT, *sorted(DATASETS)]


def fetch(name: str) -> bytes:
    """The bytes of a named data set: embedded, from the cache, or downloaded once and checked.

    Raises:
        DataError: unknown name, no network and no copy, or a copy that fails its checksum.
    """
    if name == DEFAULT:
        return default_text().encode()
    if name not in DATASETS:
        raise DataError(f"no data set '{one_line(name, 60)}'; {nearest(name, dataset_names())}")
    dataset = DATASETS[name]
    path = cache_folder() / dataset.file
    if path.exists():
        return _checked(path.read_bytes(), dataset, f"the copy at {path}", "delete it to download it again")
    import urllib.request  # a tenth of the dashboard's start, for what happens once

    try:
        with urllib.request.urlopen(dataset.url, timeout=DOWNLOAD_TIMEOUT) as reply:  # noqa: S310 (https, fixed)
            body: bytes = reply.read(dataset.bytes + 1)
    except OSError as error:
        raise DataError(
            f"data set '{name}' is not in {cache_folder()} and could not be downloaded ({one_line(error, 80)}); "
            f"set TUIRNN_DATA to a folder that has {dataset.file}, or train on the embedded text: "
            f"'tuirnn train {DEFAULT}'"
        ) from None
    body = _checked(body, dataset, f"the download of '{name}'", "try again, or bring the file and name its path")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, body)
    except OSError as error:
        raise DataError(
            f"cannot keep '{name}' in {path.parent} ({error.strerror}); set TUIRNN_DATA to a folder that can be written"
        ) from None
    return body


def _checked(body: bytes, dataset: Dataset, what: str, remedy: str) -> bytes:
    if hashlib.sha256(body).hexdigest() != dataset.sha256:
        raise DataError(f"{what} does not have the expected sha256 {dataset.sha256[:12]}…; {remedy}")
    return body


@cache
def default_text() -> str:
    """The embedded text: the Python language reference as `help()` shows it, sections in name order."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics))


def is_here(name: str) -> bool:
    """Whether `fetch` would need no network."""
    return name not in DATASETS or (cache_folder() / DATASETS[name].file).exists()
