"""Training as an ordinary process of its own: whoever started it may go, it trains on."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuirnn import machine
from tuirnn.config import FIELDS, RunConfig
from tuirnn.errors import RunError, one_line
from tuirnn.runs.layout import RunPaths, check_free, free_name, is_run
from tuirnn.runs.reader import read_status
from tuirnn.runs.writer import RunWriter
from tuirnn.settings.section import flag_of
from tuirnn.shortage import ending
from tuirnn.tasks import DEFAULT

if TYPE_CHECKING:
    from tuirnn.runs.parent import Parent

START_TIMEOUT = 120.0


def default_name(config: RunConfig, folder: Path) -> str:
    """A name that says what the run is and is free in `folder`, such as 'lstm-384' or 'gru-512x3-2'."""
    model = config.model
    size = f"{model.hidden}" + (f"x{model.layers}" if model.layers > 1 else "")
    return free_name(folder, f"{model.recurrent.name}-{size}")


def arguments(config: RunConfig, parent: "Parent | None" = None, given: Collection[str] = ()) -> list[str]:
    """Command-line arguments of `tuirnn train` that give this configuration, but for what its cell does not read.

    Args:
        config: every setting.
        parent: the run whose weights it begins with.
        given: settings that were given on purpose, and are also named where they have their default.
    """
    base = parent.base if parent else RunConfig.of(config.task.name, config.flat())
    default, unread = base.flat() | ({} if parent else {"task": DEFAULT}), config.unread
    begun = ["--from", str(parent.paths.root.resolve())] if parent else []
    return begun + words({
        name: value
        for name, value in config.flat().items()
        if (value != default[name] or name in given) and name not in unread
    })  # fmt: skip


def words(settings: dict[str, Any]) -> list[str]:
    """Command-line arguments that give these settings."""
    given: list[str] = []
    for name, value in settings.items():
        flag = flag_of(name)
        if FIELDS[name][1].type is bool:
            given.append(flag if value else f"--no-{flag[2:]}")
        elif name != "sources":
            given += [flag, str(value)]
    return [*given, "--", *settings["sources"]] if settings.get("sources") else given


def start(
    config: RunConfig, folder: Path, name: str | None = None, *, parent: "Parent | None" = None,
    given: Collection[str] = (), timeout: float = START_TIMEOUT,
) -> RunPaths:  # fmt: skip
    """Start `tuirnn train` in a session of its own and wait until its run directory is there.

    Args:
        config: what to train; standard input cannot be a source.
        folder: of runs.
        name: of the run; None: a default.
        parent: the run whose weights it begins with.
        given: see `arguments`.
        timeout: seconds to wait.
    Raises:
        RunError: the trainer ended before its run began; the message is its own last line.
    """
    name = check_free(folder, name) if name else default_name(config, folder)
    return _start(["--name", name, *arguments(config, parent, given)], RunPaths(folder / name), timeout)


def resume(paths: RunPaths, words: list[str], *, timeout: float = START_TIMEOUT) -> RunPaths:
    """Go on with a run in a session of its own; `words` are further arguments of `tuirnn train`.

    Raises:
        RunError: the trainer ended at once; the message is its own last line.
    """
    return _start(["--resume", paths.name, *words], paths, timeout)


def _start(words: list[str], paths: RunPaths, timeout: float) -> RunPaths:
    folder, aside = paths.root.parent, paths.root.parent / f".{paths.name}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(aside, "ab") as log:
            process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [sys.executable, "-m", "tuirnn", "train", "--runs", str(folder.resolve()), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        raise RunError(f"cannot start a training in {folder}: {error.strerror}") from None
    kills, began = machine.kills(), time.monotonic()
    before = _last_event(paths)
    while time.monotonic() - began < timeout:
        code = process.poll()
        if code is not None and code != 0:
            own = _last_line(aside)
            raise RunError(own if own and code > 0 else f"the training {ending(code, kills)}")
        if is_run(paths.root) and (code == 0 or _last_event(paths) != before):
            os.replace(aside, paths.log)  # the trainer goes on writing to the same file
            threading.Thread(target=_see_out, args=(process, paths, kills), daemon=True).start()
            return paths
        time.sleep(0.05)
    raise RunError(f"the training did not begin within {timeout:.0f} s; its output is in {aside}")


def _see_out(process: "subprocess.Popen[bytes]", paths: RunPaths, kills: int) -> None:
    """Wait for a trainer's end; where the system killed it for want of memory, say so in its log and its status."""
    how = ending(process.wait(), kills)
    if "out of memory" not in how:
        return
    message = (
        f"the training {how}; continue with 'tuirnn train --resume {paths.name} --memory recompute', or --accumulate"
    )
    with contextlib.suppress(OSError, RunError):
        with open(paths.log, "a", encoding="utf-8") as log:
            log.write(f"tuirnn: {message}\n")
        with RunWriter(paths) as writer:
            status = read_status(paths)
            if status.pid == process.pid:
                status.state, status.message = "failed", message
                writer.status(status)
                writer.event("end", state="failed", message=message, step=status.step)


def _last_event(paths: RunPaths) -> int:
    """Size of the history: it grows when a trainer begins."""
    try:
        return paths.events.stat().st_size
    except OSError:
        return 0


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        path.unlink(missing_ok=True)
    except OSError:
        return ""
    return one_line(lines[-1].removeprefix("tuirnn: ")) if lines else ""
