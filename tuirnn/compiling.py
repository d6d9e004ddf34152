"""Compiling sources of ours once per machine: the library is kept in the cache folder and loaded with ctypes."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from tuirnn import processor

TIMEOUT = 120.0
COMPILERS = {"c": ("CC", ("gcc", "clang", "cc")), "c++": ("CXX", ("g++", "clang++", "c++"))}
"""Language -> environment variable that names a compiler, and the names tried without it."""


def compiler(language: str) -> str | None:
    """The path of the compiler that would be used; None where there is none."""
    variable, names = COMPILERS[language]
    tried = [os.environ[variable]] if os.environ.get(variable) else names
    return next((path for path in map(shutil.which, tried) if path), None)


@dataclass(frozen=True)
class Unit:
    """A source file of ours to compile.

    Attributes:
        source: the file.
        macros: each NAME or NAME=VALUE.
        headers: (name, text) of headers that are written for it.
    """

    source: Path
    macros: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


def load(units: Sequence[Unit], language: str, flags: Sequence[str]) -> tuple[ctypes.CDLL | None, str]:
    """The library of some units and the headers beside them, compiled first where this machine has not yet.

    Args:
        units: compiled side by side, as many at a time as there are processors; the first gives the library its name.
        language: 'c' or 'c++'.
        flags: for the compiler.
    Returns:
        The library, or None and the reason in a few words.
    """
    found = compiler(language)
    if found is None:
        return None, f"no {language.upper()} compiler (install {COMPILERS[language][1][0]})"
    try:
        path = _cached(found, tuple(units), tuple(flags))
        if not path.exists():
            _compile(found, units, flags, path)
        return ctypes.CDLL(str(path)), ""
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", b"") or str(error).encode()
        lines = detail.decode(errors="replace").strip().splitlines()
        advice = " (install libomp-dev, or g++)" if b"omp.h" in detail else ""
        return None, f"{units[0].source.name} did not compile: {lines[0] if lines else type(error).__name__}{advice}"


def is_to_be_compiled(units: Sequence[Unit], language: str, flags: Sequence[str]) -> bool:
    """Whether `load` would compile first."""
    found = compiler(language)
    try:
        return found is not None and not _cached(found, tuple(units), tuple(flags)).exists()
    except (OSError, subprocess.SubprocessError):
        return False


@cache
def _cached(found: str, units: tuple[Unit, ...], flags: tuple[str, ...]) -> Path:
    """Where the library for these sources, compiler and processor is kept."""
    version = subprocess.run([found, "--version"], capture_output=True, timeout=20, check=True).stdout  # noqa: S603
    files = {unit.source for unit in units} | {header for unit in units for header in unit.source.parent.glob("*.h")}
    sources = b"".join(path.read_bytes() for path in sorted(files))
    written = [word for unit in units for word in (*unit.macros, *(part for header in unit.headers for part in header))]
    options = " ".join([*flags, *written])
    key = hashlib.sha256(sources + version + options.encode() + processor.identity().encode())
    return Path(platformdirs.user_cache_dir("tuirnn")) / f"{units[0].source.stem}-{key.hexdigest()[:16]}.so"


def _compile(found: str, units: Sequence[Unit], flags: Sequence[str], path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor  # a library that is there already is found without it

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, ThreadPoolExecutor(os.cpu_count()) as pool:

        def run(*words: str) -> None:
            subprocess.run([found, *flags, "-fPIC", *words], capture_output=True, timeout=TIMEOUT, check=True)  # noqa: S603

        def compile_one(number: int, unit: Unit) -> str:
            made, own = str(Path(folder) / f"{number}.o"), Path(folder) / str(number)
            own.mkdir()
            for name, text in unit.headers:
                (own / name).write_text(text)
            run(*(f"-D{macro}" for macro in unit.macros), "-I", str(own), "-c", str(unit.source), "-o", made)
            return made

        built = Path(folder) / path.name
        run("-shared", *pool.map(compile_one, range(len(units)), units), "-o", str(built), "-lm")
        os.replace(built, path)
