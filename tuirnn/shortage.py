"""Memory that could not be had: told from other errors, and said in one line with numbers. No torch.

The allocators speak in many ways: Python and numpy raise MemoryError, PyTorch a RuntimeError, ONNX Runtime an exception
of its own, the loader of libraries an ImportError, the system ENOMEM. A process that the system kills says nothing; its
parent looks whether the control group has counted a kill meanwhile.
"""

import contextlib
import errno
import re
import signal
import traceback
from collections.abc import Iterator

from tuirnn import machine
from tuirnn.errors import OutOfMemoryError, TuirnnError

_SAYINGS = re.compile(
    r"not enough memory|out of memory|DefaultCPUAllocator|bad[_ ]alloc|failed to allocate memory|"
    r"cannot allocate memory|failed to map segment|unable to mmap|MemoryError",
    re.IGNORECASE,
)
_THREADS = re.compile(r"can't start new thread|resource temporarily unavailable", re.IGNORECASE)
"""A thread needs a stack; under a limit of this process's memory that is what it could not have."""

_ASKED = re.compile(r"(?:allocate|buffer of size|requested)\D{0,40}?([\d.]+) ?(bytes|[KMGTPE]?i?B)?\b", re.IGNORECASE)
_CARD = re.compile(r"total capacity of ([\d.]+) (\w+) of which ([\d.]+) (\w+) is free")
_UNITS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}

TO_COMPUTE, TO_TRAIN, A_CORE = 220e6, 720e6, 40e6
"""Bytes of address space that the libraries take: numpy and ONNX Runtime, PyTorch; and for the threads of each core.

Where they find less, some of them end the process instead of raising an error.
"""


RAN_OUT = errno.ENOMEM
"""Exit code of a process that helps another one to train and has run out of memory."""


def need_room(least: float = TO_COMPUTE) -> None:
    """Refuse a limit of this process's memory under which the libraries of a command cannot start.

    Raises:
        OutOfMemoryError: there is such a limit.
    """
    limit, least = machine.address_limit(), least + A_CORE * machine.cores()
    if limit is not None and limit < least:
        raise OutOfMemoryError(
            f"out of memory: the limit of this process (ulimit -v) is {machine.size(limit)}, and the libraries alone "
            f"need about {machine.size(least)}; raise the limit"
        )


def shortage(error: BaseException) -> str:
    """What an error says of memory that could not be had, with what was asked for and what there is; else nothing.

    The computation that has failed lets go of what it holds, so that its end can still be written down.
    """
    if not _is_shortage(error):
        return ""
    said = str(error)
    traceback.clear_frames(error.__traceback__)
    there = machine.room()
    if card := _CARD.search(said):
        there = machine.Room(_bytes(card[1], card[2]), _bytes(card[3], card[4]), "this GPU")
    parts = [f"{machine.size(asked)} more were asked for"] if (asked := _asked(said)) else []
    if there is not None:
        parts.append(f"{there.of} has {machine.size(there.whole)}, {machine.size(there.free)} of it free")
    return "out of memory: " + ", and ".join(parts) if parts else "out of memory"


@contextlib.contextmanager
def told(advice: str) -> Iterator[None]:
    """Inside, an error that comes of too little memory becomes an OutOfMemoryError that ends with `advice`."""
    try:
        yield
    except TuirnnError:
        raise
    except Exception as error:
        if short := shortage(error):
            raise OutOfMemoryError(f"{short}; {advice}") from None
        raise


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    said = str(error)
    return bool(_SAYINGS.search(said) or (_THREADS.search(said) and machine.address_limit() is not None))


def _asked(said: str) -> float:
    """Bytes that an allocator says it was asked for; 0 where it does not say."""
    found = _ASKED.search(said)
    return _bytes(found[1], found[2] or "B") if found else 0.0


def _bytes(number: str, unit: str) -> float:
    """Such as ('20.00', 'MiB'); allocators count in powers of two whatever they call them."""
    return float(number) * 1024.0 ** _UNITS.get(unit[:1].upper() if unit.lower() != "bytes" else "B", 0)


def ending(code: int, kills: int) -> str:
    """How a child process has ended, such as 'was killed by SIGTERM'.

    Args:
        code: as `subprocess` gives it; negative: the number of a signal.
        kills: what `machine.kills` said when the child was started.
    """
    if code == RAN_OUT:
        return "ran out of memory"
    if code >= 0:
        return f"ended with exit code {code}"
    how = f"was killed by {signal.Signals(-code).name}"
    if code != -signal.SIGKILL or machine.kills() <= kills:
        return how
    there = machine.room()
    limit = f": {there.of} has {machine.size(there.whole)}" if there else ""
    return f"{how}, by the system, which was out of memory{limit}"
