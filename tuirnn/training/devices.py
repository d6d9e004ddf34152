"""Where to compute, and what machine that is."""

import ctypes
import os
import platform
import sys
import time
from typing import Any

import torch

from tuirnn import __version__
from tuirnn.errors import ConfigError
from tuirnn.kernels import cuda
from tuirnn.models import SequenceModel

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def pick_device(wanted: str) -> torch.device:
    """The device that 'auto', 'cpu' or 'cuda' names here.

    Raises:
        ConfigError: CUDA was asked for and is not there.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        why = "this PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch finds no GPU"
        raise ConfigError(f"--device cuda: {why}; use --device auto or cpu, or see 'tuirnn doctor'")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def device_label(device: torch.device) -> str:
    """Such as 'cuda:0 NVIDIA H100' or 'cpu'."""
    if device.type == "cuda":
        return f"cuda:{torch.cuda.current_device()} {torch.cuda.get_device_name()}"
    return "cpu"


def prepare(model: SequenceModel, batch: int, dtype: str, device: torch.device) -> list[str]:
    """Get a GPU ready for a network's training: the arithmetic that was asked for, the fastest kernels for its size.

    Args:
        model: on the device.
        batch: sequences side by side.
        dtype: as the settings name it.
        device: where it is; nothing is done for the CPU.
    Returns:
        lines for the user where something is missing.
    """
    if device.type != "cuda":
        return []
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    layer = model.recurrent(0)
    cuda.measure(layer.cell, batch, layer.hidden, model.compute_dtype)
    why = cuda.why_not()
    return [f"not all GPU kernels run here, slower ones do their work: {why}"] if why else []


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks of up to 32 MB instead of returning them to the system each step.

    Every step allocates the same buffers; without this each comes back as untouched pages, whose first
    writes cost more than the arithmetic on them.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def environment(device: torch.device) -> dict[str, Any]:
    """What `run.json` says about the machine."""
    return {
        "tuirnn": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": device_label(device),
        "threads": torch.get_num_threads(),
    }


class Usage:
    """This process's memory and processor use."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def sample(self) -> tuple[int, float]:
        """(resident bytes, processor use in percent since the last call, 100 for one core)."""
        wall, cpu = time.perf_counter(), time.process_time()
        share = 100 * (cpu - self._cpu) / max(wall - self._wall, 1e-9)
        self._wall, self._cpu = wall, cpu
        return _resident_bytes(), share


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
