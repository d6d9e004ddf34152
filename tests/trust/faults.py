"""A disk that fails at every n-th change: the checkpoint before still loads, and the resumed run ends the same.

`python -m tests.trust.faults FOLDER JSON` runs inside a process into which faults.c is loaded; `at_every` starts it.
"""

import contextlib
import ctypes
import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tuirnn.config import RunConfig
from tuirnn.errors import TuirnnError
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths, is_run, never_began

from . import Broken
from .kills import SETTINGS, TEXT, nothing_torn, same_run

ERRORS = ("ENOSPC", "EIO", "EACCES")
FEW = {"steps": 8, "checkpoint_every": 3, "eval_every": 4, "keep": 1}
"""A training of few steps that still saves, replaces, prunes and points."""


def at_every(
    folder: Path, *, errors: tuple[str, ...] = ERRORS, stays: tuple[bool, ...] = (False, True), **variant: Any
) -> dict[str, Any]:
    """Fail each change of the disk of a training in turn, once and for good (`stays`), with each of the errors.

    Raises:
        Broken: a traceback, a lost checkpoint, or a run that differs after the resume.
    """
    library = folder / "faults.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).with_name("faults.c"), "-ldl"], check=True
    )
    plan = {"errors": errors, "stays": stays, "settings": {**SETTINGS, **FEW, **variant}}
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(folder), json.dumps(plan)],
        env={**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Broken(done.stderr[-3000:])
    counted: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return counted


def _main(folder: Path, plan: dict[str, Any]) -> None:
    import torch

    from tuirnn.training import launch

    torch.set_num_threads(1)
    disk = ctypes.CDLL(None)
    disk.faults_seen.restype = ctypes.c_long
    text, runs = folder / "text.txt", folder / "runs"
    text.write_text(TEXT)
    runs.mkdir()
    config = RunConfig().replace(**plan["settings"], sources=(str(text),))
    launch.start(config, runs, "whole", lambda event: None)
    whole = RunPaths(runs / "whole")
    (whole.root / "cell.onnx").write_bytes(b"")
    faults, survived = 0, 0
    for name, stays in itertools.product(plan["errors"], plan["stays"]):
        for number in itertools.count():
            paths = RunPaths(runs / "one")
            shutil.rmtree(paths.root, ignore_errors=True)
            disk.faults_root(str(runs).encode())
            disk.faults_arm(number, getattr(errno, name), int(stays))
            failed = True
            with contextlib.suppress(TuirnnError):
                launch.start(config, runs, "one", lambda event: None)
                failed = False
            fired = disk.faults_fired()
            disk.faults_disarm()
            if not fired:
                break
            faults += 1
            survived += not failed
            _resume(whole, paths, f"{name} at change {number} ({'for good' if stays else 'once'})")
    print(json.dumps({"faults": faults, "training went on": survived, "lost": 0}))


def _resume(whole: RunPaths, paths: RunPaths, where: str) -> None:
    """Resume a run after a fault to its end.

    Args:
        whole: the run without a fault.
        paths: the run, or what a start that failed has left.
        where: the fault, for messages.
    Raises:
        Broken: a lost checkpoint, a directory that is no run, or a run that differs from `whole`.
    """
    from tuirnn.training import launch

    if not is_run(paths.root):
        if paths.root.exists() and not never_began(paths):
            raise Broken(f"after {where} a directory that is no run is left: {os.listdir(paths.root)}")
        return
    nothing_torn(paths)
    if checkpoint.pointed(paths, "last") is not None:
        checkpoint.load(paths, "last")
    try:
        launch.resume(paths, {}, lambda event: None)
    except TuirnnError as error:
        if "complete" not in str(error):
            raise Broken(f"after {where} the run cannot be resumed: {error}") from None
    (paths.root / "cell.onnx").write_bytes(b"")
    try:
        same_run(whole, paths)
    except Broken as difference:
        raise Broken(f"after {where}: {difference}") from None


if __name__ == "__main__":
    _main(Path(sys.argv[1]), json.loads(sys.argv[2]))
