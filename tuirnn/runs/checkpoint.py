"""Step directories: built aside, synced, named last; verified against their manifest before any use.

A checkpoint is bytes here; what stands in the files is the trainer's business. Tensors are safetensors,
everything else JSON: nothing read from disk is ever executed.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn.errors import RunError, nearest, one_line
from tuirnn.files import (
    SMALL_JSON_BYTES,
    atomic_write,
    parse_json,
    read_bounded,
    sync_folder,
    to_json,
    write_synced,
)
from tuirnn.runs.layout import RunPaths

MODEL, OPTIMIZER, TRAINER, RECORD, MANIFEST = (
    "model.safetensors",
    "optimizer.safetensors",
    "trainer.json",
    "run.json",
    "manifest.json",
)
"""A checkpoint's files; with its copy of the run's record it can be understood alone, and a lost record rebuilt."""

MAX_FILE_BYTES = 64 * 2**30

_STEP = re.compile(r"step_(\d{8,12})")
_HALF_WRITTEN = re.compile(r"\.(run\.json|status\.json|best|last|\w+\.jsonl|stdin\.bin)\.\w+\.tmp")
_LEFT_OVER = re.compile(r"\.step_(\d{8,12})\.(tmp|replaced|old)")


@dataclass(frozen=True)
class Checkpoint:
    """A step directory whose every file matches the manifest; the verified bytes by file name.

    `manifest` is the manifest's sha256, which changes with any of the files.
    """

    path: Path
    files: Mapping[str, bytes]
    manifest: str = ""

    @property
    def step(self) -> int:
        """The training step it was taken after."""
        return step_of(self.path)

    @property
    def trainer(self) -> dict[str, Any]:
        """`trainer.json`, parsed."""
        value = parse_json(self.files[TRAINER], one_line(self.path / TRAINER))
        if not isinstance(value, dict):
            raise RunError(f"{one_line(self.path / TRAINER)} is damaged: expected a JSON object")
        return value


def save(paths: RunPaths, step: int, files: Mapping[str, bytes]) -> Path:
    """Write a checkpoint so that it is there whole or not at all.

    Args:
        paths: the run.
        step: training step, which names the directory.
        files: contents by file name.
    Raises:
        OSError: the disk refused; nothing is left behind and older checkpoints are untouched.
    """
    final = paths.step(step)
    aside = paths.root / f".{final.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        manifest = {name: {"sha256": _sha256(data), "bytes": len(data)} for name, data in files.items()}
        for name, data in files.items():
            write_synced(aside / name, data)
        write_synced(aside / MANIFEST, to_json({"step": step, "files": manifest}, indent=1))
        sync_folder(aside)
        if final.exists():  # the same step again: an evaluation or the end came after it
            os.rename(final, _replaced(final))
        os.rename(aside, final)
        sync_folder(paths.root)
    except BaseException:
        with contextlib.suppress(OSError):
            recover(paths)
        raise
    shutil.rmtree(_replaced(final), ignore_errors=True)
    return final


def recover(paths: RunPaths) -> None:
    """Clear away what a killed writer left; a checkpoint that was about to be replaced comes back."""
    for entry in list(os.scandir(paths.root)):
        if _HALF_WRITTEN.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)
        match = _LEFT_OVER.fullmatch(entry.name)
        if not match or not entry.is_dir(follow_symlinks=False):
            continue
        path = Path(entry.path)
        if match[2] == "replaced" and not paths.step(int(match[1])).exists():
            os.rename(path, paths.step(int(match[1])))
        else:
            shutil.rmtree(path, ignore_errors=True)


def point(paths: RunPaths, name: str, step: int) -> None:
    """Make `best` or `last` name the checkpoint of `step`."""
    atomic_write(paths.root / name, (paths.step(step).name + "\n").encode())


def pointed(paths: RunPaths, name: str) -> Path | None:
    """The directory that `best` or `last` names, if it is one of this run's."""
    try:
        target = read_bounded(paths.root / name, 64).decode("ascii", "replace").strip()
    except RunError:
        return None
    path = paths.root / target
    return path if _STEP.fullmatch(target) and path.is_dir() and not path.is_symlink() else None


def step_of(path: Path) -> int:
    """The step in a checkpoint directory's name."""
    match = _STEP.fullmatch(path.name)
    assert match, path
    return int(match[1])


def steps(paths: RunPaths) -> list[int]:
    """Steps that have a checkpoint directory, ascending."""
    found = (_STEP.fullmatch(entry.name) for entry in os.scandir(paths.root) if entry.is_dir(follow_symlinks=False))
    return sorted(int(match[1]) for match in found if match)


ATTEMPTS = 5
"""To read a checkpoint that is being replaced meanwhile."""


def load(paths: RunPaths, which: str = "best") -> Checkpoint:
    """Read and verify a checkpoint.

    Args:
        paths: the run.
        which: 'best', 'last', or a step number.
    Raises:
        RunError: none there, or damaged; the message names the file and the newest good checkpoint.
    """
    for attempt in range(ATTEMPTS):
        path = _resolve(paths, which)
        before = _identity(path)
        try:
            return verify(path)
        except RunError as damage:
            if attempt < ATTEMPTS - 1 and _identity(path) != before:
                continue  # the trainer has put another in its place between two of the files
            good = newest_good(paths, without=path)
            remedy = f"the newest good checkpoint is step {good.step}" if good else "no other checkpoint is good"
            raise RunError(f"{damage}; {remedy}") from None
    raise AssertionError("the last attempt returns or raises")


def _identity(path: Path) -> int:
    """Tells a step directory from another that bears the same name after it; 0 where there is none."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0


def _resolve(paths: RunPaths, which: str) -> Path:
    known = steps(paths)
    if (word := which.lower()) in ("best", "last"):
        path = pointed(paths, word) or (pointed(paths, "last") if word == "best" else None)
        if path is None and known:
            path = paths.step(known[-1])
        if path is None:
            raise RunError(f"run '{paths.name}' has no checkpoint yet; let it train until its first one")
        return path
    if not which.isdecimal() or int(which) not in known:
        names = ["best", "last", *map(str, known)]
        raise RunError(f"run '{paths.name}' has no checkpoint '{one_line(which, 40)}'; {nearest(which, names)}")
    return paths.step(int(which))


def verify(path: Path) -> Checkpoint:
    """Read a step directory and hold every byte against its manifest.

    Raises:
        RunError: a file that is missing, foreign or changed, by name.
    """
    manifest, digest = _manifest(path)
    listed = manifest.get("files")
    if manifest.get("step") != step_of(path) or not isinstance(listed, dict):
        raise RunError(f"{one_line(path / MANIFEST)} is damaged")
    files: dict[str, bytes] = {}
    for name in (MODEL, OPTIMIZER, TRAINER, RECORD):
        entry = listed.get(name)
        if not isinstance(entry, dict) or not isinstance(entry.get("bytes"), int):
            raise RunError(f"{one_line(path / MANIFEST)} is damaged: it does not list {name}")
        data = read_bounded(path / name, MAX_FILE_BYTES)
        if len(data) != entry["bytes"] or _sha256(data) != entry.get("sha256"):
            raise RunError(f"{one_line(path / name)} is damaged: its content does not match the manifest")
        files[name] = data
    return Checkpoint(path, files, digest)


def identity(paths: RunPaths, which: str = "best") -> str:
    """The sha256 of a checkpoint's manifest; the files that it lists are not read.

    Raises:
        RunError: there is no such checkpoint, or its manifest is damaged.
    """
    return _manifest(_resolve(paths, which))[1]


def _manifest(path: Path) -> tuple[dict[str, Any], str]:
    """What a step directory's manifest says, and its sha256."""
    name = one_line(path / MANIFEST)
    data = read_bounded(path / MANIFEST, SMALL_JSON_BYTES)
    value = parse_json(data, name)
    if not isinstance(value, dict):
        raise RunError(f"{name} is damaged: expected a JSON object, got {type(value).__name__}")
    return value, _sha256(data)


def newest_good(paths: RunPaths, *, without: Path | None = None) -> Checkpoint | None:
    """The latest checkpoint that verifies, other than `without`."""
    for step in reversed(steps(paths)):
        if paths.step(step) != without:
            try:
                return verify(paths.step(step))
            except RunError:
                continue
    return None


def prune(paths: RunPaths, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints and those that `best` and `last` name."""
    named = {pointed(paths, "best"), pointed(paths, "last")}
    for step in steps(paths)[:-keep]:
        if paths.step(step) not in named:
            _discard(paths.step(step))


def _discard(path: Path) -> None:
    """Remove a step directory; renamed first, so that a half-removed one never bears a checkpoint's name."""
    aside = path.parent / f".{path.name}.old"
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(path, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _replaced(path: Path) -> Path:
    return path.parent / f".{path.name}.replaced"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
