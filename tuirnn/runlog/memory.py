"""Keeping the memory of the process small, as far as the C library supports it."""

import contextlib
import ctypes

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8

LARGE = 2**18


def keep_memory_small() -> None:
    """Allocate large arrays separately, so that each can be returned, and use one heap for all threads (glibc only)."""
    with contextlib.suppress(OSError, AttributeError):
        for parameter, value in ((M_MMAP_THRESHOLD, LARGE), (M_ARENA_MAX, 1)):
            ctypes.CDLL(None).mallopt(parameter, value)


def give_memory_back() -> None:
    """Return memory that is no longer needed to the operating system (glibc only)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
