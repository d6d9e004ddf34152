"""The peak of memory that one training step takes, measured in a process of its own.

What counts is the memory of the system, not an allocator's opinion of it: a library's own scratch is part of the
step. On the CPU that is the largest resident set of the step less the resident set just before it; glibc is told
to map every larger block by itself, so that what is freed is gone and what is kept by habit is not counted.
On CUDA it is the caching allocator's own count.
"""

import ctypes
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

Step = Callable[[], object]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_MAPPED_FROM = 64 << 10
_RESET_PEAK = "5"  # proc(5), clear_refs: the largest resident set becomes the present one


def peak_of(build: Callable[..., Step], *arguments: Any, device: str = "cpu") -> int:
    """Bytes that a step takes at its peak, beyond what is there before it (weights, batch, libraries).

    Args:
        build: a function that a fresh interpreter can import; builds the model and its batch, and returns the step,
            as a rule forward and backward. It is called once, the step twice: the first time warms up.
        arguments: of `build`; they are pickled.
        device: where the step computes, 'cpu' or 'cuda'.
    Returns:
        Bytes. A step that ends with `zero_grad(set_to_none=True)` has the gradients of its weights counted; for one
        that begins with it they are there before.
    Raises:
        OSError: on a system that keeps no peak of a process (/proc of Linux), for a step on the CPU.
    """
    with fresh_process() as process:
        return process.submit(measure, build, arguments, device, torch.get_num_threads()).result()


def fresh_process() -> ProcessPoolExecutor:
    """A process of its own that measures what is submitted to it, one after the other."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def measure(build: Callable[..., Step], arguments: tuple[Any, ...], device: str = "cpu", threads: int = 1) -> int:
    """As `peak_of`, in this process, whose allocator is changed for good."""
    torch.set_num_threads(threads)
    if device == "cpu":
        _map_blocks()
    step = build(*arguments)
    step()
    if device != "cpu":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    step()
    return _resident("VmHWM") - before


def _map_blocks() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        libc.mallopt(_M_TRIM_THRESHOLD, 0)


def _resident(field: str) -> int:
    """A field of /proc/self/status in bytes: VmRSS, what is resident now, or VmHWM, the most that was."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/self/status has no {field}")
    return int(found[1]) * 1024
