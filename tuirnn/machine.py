"""How much memory there is for this process: the machine's, or less where a control group sets a limit. No torch."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


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


def room() -> Room | None:
    """What the system says; None where it does not say (other systems than Linux)."""
    try:
        found = {
            name: 1024 * int(kilobytes)
            for name, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB$", (PROC / "meminfo").read_text(), re.MULTILINE)
        }
        swap = found.get("SwapTotal", 0)
        rooms = [Room(found["MemTotal"] + swap, found["MemAvailable"], "this machine"), *_limits(swap)]
    except (OSError, KeyError):
        return None
    tightest = min(rooms, key=lambda one: one.whole)
    return Room(tightest.whole, min(one.free for one in rooms), tightest.of)


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
    folder = root / path.strip("/")
    for group in (folder, *folder.parents) if folder.is_relative_to(root) else ():
        most, used, more = (_number(group / name) if name else None for name in (limit, usage, swap_limit))
        if most is not None:
            room = most + min(swap, swap if more is None else more)
            yield Room(room, max(0, most - (used or 0) + _reclaimable(group)), "the limit of this control group")
        if group == root:
            break


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
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.{1 if count < 10 * limit else 0}f} {unit}"
    return f"{count:.0f} B"
