"""File systems without locks: `flock` fails as it does there, in libc; trainings go on and say so."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import wait

from tuirnn import locking
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_status

SOURCE = """
#include <errno.h>
#include <stdlib.h>
int flock(int file, int operation) { errno = atoi(getenv("NO_FLOCK")); return -1; }
"""

TINY = ("--hidden", "8", "--embed", "4", "--batch-size", "4", "--seq-len", "8", "--eval-every", "5", "--device", "cpu")

Start = Callable[..., "subprocess.Popen[str]"]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="replaces a function of libc")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flock")
    (folder / "flock.c").write_text(SOURCE)
    command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", str(folder / "flock.so"), str(folder / "flock.c")]
    subprocess.run(command, check=True)
    return folder / "flock.so"


@pytest.fixture
def start(library: Path, environment: dict[str, str], tmp_path: Path) -> Start:
    """Python where `flock` fails with an error number."""

    def run(error: int, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *words], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**environment, "LD_PRELOAD": str(library), "NO_FLOCK": str(error)},
        )  # fmt: skip

    return run


@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_lock_that_cannot_be_had_is_told(error: str, start: Start, tmp_path: Path) -> None:
    number = getattr(errno, error)
    code = "import sys; from tuirnn import locking; print(locking.take(sys.argv[1]).lacking)"
    out, err = start(number, "-c", code, str(tmp_path / "lock")).communicate(timeout=60)
    assert err == ""
    assert out in (f"{os.strerror(number)}\n", "\n" * (error == "ENOSYS"))  # there a file may take the lock's place


def test_a_training_goes_on_and_says_so_and_keeps_others_out(start: Start, small_text: Path, tmp_path: Path) -> None:
    words = (*TINY, "--minutes", "60", "--name", "a", "--checkpoint-every", "5")
    first = start(errno.ENOLCK, "-m", "tuirnn", "train", str(small_text), *words)
    paths = RunPaths(tmp_path / "checkpoints" / "a")
    try:
        wait(lambda: (paths.root / "last").exists(), 60)
        second = start(errno.ENOLCK, "-m", "tuirnn", "train", "--resume", "a")
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "run 'a' is being trained by another process" in err
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    said = f"the file system of this run has no locks ({os.strerror(errno.ENOLCK)}): only its status keeps others from"
    assert sum(said in str(record) for record in LogTail(paths.events).read()) == 1
    assert read_status(paths).state == "stale"
    steps = str(read_status(paths).step + 20)
    third = start(errno.ENOLCK, "-m", "tuirnn", "train", "--resume", "a", "--minutes", "0", "--steps", steps)
    _, err = third.communicate(timeout=60)
    assert third.returncode == 0, err
    assert read_status(paths).state == "done"


def test_other_errors_are_errors(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        locking.take(tmp_path)
    lock = locking.take(tmp_path / "lock")
    with pytest.raises(locking.Taken):
        locking.take(tmp_path / "lock")
    lock.release()
    locking.take(tmp_path / "lock").release()
