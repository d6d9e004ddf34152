"""Compiling a source file of ours once per machine: the library is kept in the cache folder and loaded with ctypes."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import platformdirs

TIMEOUT = 120.0
COMPILERS = {"c": ("CC", ("gcc", "clang", "cc")), "c++": ("CXX", ("g++", "clang++", "c++"))}
"""Language -> environment variable that names a compiler, and the names tried without it."""


def compiler(language: str) -> str | None:
    """The path of the compiler that would be used; None where there is none."""
    variable, names = COMPILERS[language]
    tried = [os.environ[variable]] if os.environ.get(variable) else names
    return next((path for path in map(shutil.which, tried) if path), None)


def load(source: Path, language: str, flags: Sequence[str]) -> tuple[ctypes.CDLL | None, str]:
    """The library of `source` and the headers beside it, compiled first where this machine has not yet.

    Returns:
        The library, or None and the reason in a few words.
    """
    found = compiler(language)
    if found is None:
        return None, f"no {language.upper()} compiler (install {COMPILERS[language][1][0]})"
    try:
        path = _cached(found, source, flags)
        if not path.exists():
            _compile(found, source, flags, path)
        return ctypes.CDLL(str(path)), ""
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", b"") or str(error).encode()
        lines = detail.decode(errors="replace").strip().splitlines()
        return None, f"{source.name} did not compile: {lines[0] if lines else type(error).__name__}"


def _cached(found: str, source: Path, flags: Sequence[str]) -> Path:
    """Where the library for this source, compiler and processor is kept."""
    version = subprocess.run([found, "--version"], capture_output=True, timeout=20, check=True).stdout  # noqa: S603
    sources = b"".join(path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h"))))
    key = hashlib.sha256(sources + version + " ".join(flags).encode() + _processor().encode())
    return Path(platformdirs.user_cache_dir("tuirnn")) / f"{source.stem}-{key.hexdigest()[:16]}.so"


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    except OSError:
        return platform.processor() + platform.machine()


def _compile(found: str, source: Path, flags: Sequence[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        command = [found, *flags, "-shared", "-fPIC", str(source), "-o", str(built), "-lm"]
        subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=True)  # noqa: S603
        os.replace(built, path)
