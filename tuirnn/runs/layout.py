"""Names inside a run directory, and which run a person means."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tuirnn.errors import RunError, nearest, one_line

MAX_RECORD_BYTES = 32 * 2**20
"""Of `run.json`, with room for the largest vocabulary of words."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows them after a dot."""


@dataclass(frozen=True)
class RunPaths:
    """The files of one run."""

    root: Path

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.root.name

    @property
    def record(self) -> Path:
        """What the run is; written once."""
        return self.root / "run.json"

    @property
    def metrics(self) -> Path:
        """Numbers by step."""
        return self.root / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """What the network writes and what it gets wrong."""
        return self.root / "samples.jsonl"

    @property
    def probes(self) -> Path:
        """What is seen inside the network."""
        return self.root / "probes.jsonl"

    @property
    def events(self) -> Path:
        """The run's history: starts, resumes, requests, checkpoints, ends."""
        return self.root / "events.jsonl"

    @property
    def status(self) -> Path:
        """How the run stands now."""
        return self.root / "status.json"

    @property
    def control(self) -> Path:
        """Requests to the trainer."""
        return self.root / "control"

    @property
    def lock(self) -> Path:
        """Held by the one writer; the system frees it when the writer dies."""
        return self.root / "lock"

    @property
    def stdin(self) -> Path:
        """The text that came from standard input."""
        return self.root / "stdin.bin"

    @property
    def notes(self) -> Path:
        """Tags and a note, by whoever looks after the runs."""
        return self.root / "notes.json"

    @property
    def log(self) -> Path:
        """Output of a detached trainer."""
        return self.root / "train.log"

    def step(self, step: int) -> Path:
        """The checkpoint directory of `step`."""
        return self.root / f"step_{step:08d}"


def runs_folder(given: Path | None = None) -> Path:
    """The folder of runs: `given`, else `$TUIRNN_RUNS`, else `./checkpoints`."""
    return given or Path(os.environ.get("TUIRNN_RUNS") or "checkpoints")


def check_name(name: str) -> str:
    """`name` if a new run may be called that on every system; raises RunError otherwise. Old runs keep their names."""
    if not _NAME.fullmatch(name):
        raise RunError(
            f"run name '{one_line(name, 80)}' must be 1 to 64 letters, digits, '.', '_' or '-', "
            "and begin with a letter or digit"
        )
    if name.endswith("."):
        raise RunError(f"run name '{name}' ends in a dot, which Windows drops; choose another name")
    if _DEVICES.fullmatch(name):
        raise RunError(f"run name '{name}' is a device's on Windows; choose another name")
    return name


def check_free(folder: Path, name: str, otherwise: str = "choose another name", itself: str = "") -> str:
    """`name` if a new run in `folder` may be called that.

    Args:
        folder: of runs.
        name: a run's.
        otherwise: what to do where a run bears it already, for the error.
        itself: the present name of a run that is to be renamed.
    Raises:
        RunError: it is not a name, or is taken; also where only upper and lower case tell it from another.
    """
    there = _occupant(folder, check_name(name), itself)
    if there == name:
        raise RunError(f"run '{name}' is already in {folder}; {otherwise}")
    if there:
        raise RunError(
            f"run name '{name}' is '{there}' in other letters, which is already in {folder}, and not every system "
            "tells upper case from lower; choose another name"
        )
    return name


def _occupant(folder: Path, name: str, itself: str = "") -> str:
    """What in `folder` bears `name`, in whatever case; '' where it is free. What never began does not count."""
    try:
        alike = [entry for entry in os.listdir(folder) if entry.lower() == name.lower() and entry != itself]
    except OSError:
        return ""
    taken = [entry for entry in alike if not never_began(RunPaths(folder / entry))]
    return name if name in taken else min(taken, default="")


def run_names(folder: Path) -> list[str]:
    """Names of the runs in `folder`, sorted."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name) and is_run(entry))
    except OSError:
        return []


def creation_order(folder: Path) -> dict[str, int]:
    """The place of each run of a folder among all of them, the oldest first: it decides a run's colour everywhere."""
    found = []
    for name in run_names(folder):
        try:
            found.append(((folder / name / "run.json").stat().st_mtime_ns, name))
        except OSError:
            continue
    return {name: place for place, (_, name) in enumerate(sorted(found))}


def is_run(path: "os.DirEntry[str] | Path") -> bool:
    """Whether `path` is a run directory of its own, not a link to somewhere else."""
    return path.is_dir() and not path.is_symlink() and (Path(path) / "run.json").is_file()


def never_began(paths: RunPaths) -> bool:
    """Whether a directory holds nothing but what a trainer leaves that was killed before its run was there."""
    try:
        left = os.listdir(paths.root) if paths.root.is_dir() and not paths.root.is_symlink() else [""]
    except OSError:
        return False
    return all(name in (paths.lock.name, paths.stdin.name) or name.endswith(".tmp") for name in left)


def find_run(folder: Path, name: str) -> RunPaths:
    """The run `name` in `folder`, or the run directory at the path `name`.

    Raises:
        RunError: there is no such run; the message offers the nearest names.
    """
    for path in (folder / name, Path(name)) if name and "\0" not in name else ():
        if (path.parent == folder or os.sep in name) and is_run(path):
            return RunPaths(path)
    raise RunError(f"no run '{one_line(name, 80)}' in {folder}; {nearest(name, run_names(folder))}")


def find_folder(folder: Path, name: str) -> RunPaths:
    """As `find_run`, but a run whose `run.json` is lost is found too."""
    path = folder / name
    if _NAME.fullmatch(name) and path.is_dir() and not path.is_symlink():
        return RunPaths(path)
    return find_run(folder, name)


def free_name(folder: Path, stem: str) -> str:
    """`stem`, or `stem-2`, `stem-3`, … whichever is not taken in `folder`."""
    name, number = stem, 2
    while _occupant(folder, name):
        name, number = f"{stem}-{number}", number + 1
    return name
