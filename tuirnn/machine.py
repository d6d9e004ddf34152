"""How much memory there is for this process: the machine's, or less where a control group or a limit of its own says.

No torch.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

with contextlib.suppress(ImportError):  # not on Windows
    import resource

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")

DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))
"""Devices of the drivers of GPUs: NVIDIA's, WSL's, AMD's."""


@dataclass(frozen=True)
class Room:
    """Bytes of memory.

    Attributes:
        whole: all that could ever be had, swap included.
        free: what can be had now without swapping.
        of: whose it is, such as 'this machine'.
    """

    whole: float
    free: float
    of: str


def has_gpu() -> bool:
    """Whether the driver of a GPU is here, as far as can be told without PyTorch."""
    return any(one.exists() for one in DRIVERS) or shutil.which("nvidia-smi") is not None


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_cores() -> None:
    """Let waiting threads spin only briefly, unless the environment says otherwise; read when torch is loaded.

    By default they spin for milliseconds, which on a machine that is busy with anything else (a browser, this
    program's own dashboard) makes a training many times slower; see docs/notebook.md.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")


def room() -> Room | None:
    """What the system says; None where it does not say (other systems than Linux)."""
    try:
        found = {
            name: 1024 * int(kilobytes)
            for name, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB$", (PROC / "meminfo").read_text(), re.MULTILINE)
        }
        swap = found.get("SwapTotal", 0)
        rooms = [Room(found["MemTotal"] + swap, found["MemAvailable"], "this machine"), *_limits(swap), *_own_limits()]
    except (OSError, KeyError):
        return None
    tightest = min(rooms, key=lambda one: one.whole)
    return Room(tightest.whole, min(one.free for one in rooms), tightest.of)


def address_limit() -> int | None:
    """Bytes of address space that this process may have (ulimit -v); None: as many as it likes."""
    try:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    except (NameError, AttributeError, OSError):
        return None
    return None if limit == resource.RLIM_INFINITY else limit


def _own_limits() -> Iterator[Room]:
    """The limit of this process's address space, less what is taken of it without being used."""
    limit = address_limit()
    if limit is None:
        return
    status = (PROC / "self" / "status").read_text()
    used, resident = (
        1024 * int(found[1]) if (found := re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)) else 0
        for field in ("VmSize", "VmRSS")
    )
    of = f"the limit of this process (ulimit -v, {size(limit)})"
    yield Room(max(0, limit - used + resident), max(0, limit - used), of)


def kills() -> int:
    """How many processes of this control group the system has killed for want of memory; of the machine without one."""
    counters: list[tuple[Path, ...]] = [(PROC / "vmstat",)]
    with contextlib.suppress(OSError, ValueError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                counters.insert(0, _upwards(CGROUP, path, "memory.events"))
            elif "memory" in controllers.split(","):
                counters.insert(0, _upwards(CGROUP / "memory", path, "memory.oom_control"))
    for file in itertools.chain(*counters):
        with contextlib.suppress(OSError):
            if found := re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE):
                return int(found[1])
    return 0


def _upwards(root: Path, path: str, name: str) -> tuple[Path, ...]:
    """A file of the group at `path`, and of those around it; a container may see its own group as the root."""
    folder = root / path.strip("/")
    return tuple(group / name for group in (folder, *folder.parents) if group.is_relative_to(root))


def _limits(swap: int) -> Iterator[Room]:
    """The limits of the control groups that this process is in, and of those around them, of either version."""
    for line in (PROC / "self" / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _walk(CGROUP, path, "memory.max", "memory.current", "memory.swap.max", swap)
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "")
            yield from _walk(CGROUP / "memory", path, *names, swap)


def _walk(root: Path, path: str, limit: str, usage: str, swap_limit: str, swap: int) -> Iterator[Room]:
    """From the group at `path` up to the root; a container may see its own group as the root."""
    for group in (file.parent for file in _upwards(root, path, limit)):
        most, used, more = (_number(group / name) if name else None for name in (limit, usage, swap_limit))
        if most is not None:
            room = most + min(swap, swap if more is None else more)
            yield Room(room, max(0, most - (used or 0) + _reclaimable(group)), "the limit of this control group")


def _number(file: Path) -> int | None:
    """What a control group's file holds; None for 'max', or where there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _reclaimable(group: Path) -> int:
    """Bytes that the group uses to cache files, which give way."""
    try:
        found = re.search(r"^(?:total_)?inactive_file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def size(count: float) -> str:
    """Bytes for people: '610 MB'."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.{1 if count < 10 * limit else 0}f} {unit}"
    return f"{count:.0f} B"


@functools.cache
def _trim() -> Callable[[int], object] | None:
    """The C library's way to give freed memory back to the system; None where it has none."""
    if sys.platform != "linux":
        return None
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return trim


def give_back_freed_memory() -> None:
    """Have the system take back what was freed: blocks of changing sizes leave holes that would only grow."""
    if trim := _trim():
        trim(0)
