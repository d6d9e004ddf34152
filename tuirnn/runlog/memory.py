"""The dashboard's memory, kept small where the C library can be asked to."""

import contextlib
import ctypes

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8

LARGE = 2**18


def keep_memory_small() -> None:
    """Large arrays apart, where each can be given back, and one heap for all threads, where that can be had (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        for parameter, value in ((M_MMAP_THRESHOLD, LARGE), (M_ARENA_MAX, 1)):
            ctypes.CDLL(None).mallopt(parameter, value)


def give_memory_back() -> None:
    """Let the system have what was only needed for reading, where the C library can (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
