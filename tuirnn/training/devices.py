"""Where to compute, and what machine that is."""

import ctypes
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from tuirnn import __version__, processor
from tuirnn.codegen.trace import traced
from tuirnn.errors import ConfigError
from tuirnn.kernels import cuda, native
from tuirnn.models import SequenceModel
from tuirnn.settings.model import ModelConfig
from tuirnn.training.member import ALONE, Member

FEW_PROCESSES = 4
"""As many may share even one core."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def pick_device(wanted: str, member: Member = ALONE) -> torch.device:
    """The device that 'auto', 'cpu' or 'cuda' names here; of several GPUs the one that is `member`'s.

    Raises:
        ConfigError: as `device_type`.
    """
    kind = device_type(wanted, member.local_size)
    if kind == "cuda":
        torch.cuda.set_device(member.local_rank)
    return torch.device(kind)


def device_type(wanted: str, processes: int) -> str:
    """'cpu' or 'cuda', whichever 'auto', 'cpu' or 'cuda' names for so many processes on this machine.

    Raises:
        ConfigError: CUDA was asked for and is not there, or the machine is too small for its processes.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        why = "this PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch finds no GPU"
        raise ConfigError(f"--device cuda: {why}; use --device auto or cpu, or see 'tuirnn doctor'")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and torch.cuda.device_count() < processes:
        raise ConfigError(
            f"{processes} processes need a GPU each, and this machine has {torch.cuda.device_count()}; "
            "lower --processes, or use --device cpu"
        )
    if wanted == "cpu" and processes > max(FEW_PROCESSES, 2 * (os.cpu_count() or 1)):
        raise ConfigError(
            f"--processes {processes} is more than twice the {os.cpu_count()} cores of this machine; lower it"
        )
    return wanted


def device_label(device: torch.device) -> str:
    """Such as 'cuda:0 NVIDIA H100' or 'cpu'."""
    if device.type == "cuda":
        return f"cuda:{torch.cuda.current_device()} {torch.cuda.get_device_name()}"
    return "cpu"


def prepare(model: SequenceModel, batch: int, dtype: str, device: torch.device, note: Callable[[str], None]) -> None:
    """Get a device ready for a network's training: arithmetic that is fast there, the best kernels for its size.

    Args:
        model: on the device; computes in float32 where products of bfloat16 would be several times slower.
        batch: sequences side by side.
        dtype: as the settings name it.
        device: where it is.
        note: told, in one line each, what takes a while and what is missing.
    """
    if device.type == "cpu":
        cell = model.recurrent(0).cell
        if native.is_to_be_compiled(cell):
            note("compiles the kernels of this cell for this processor, once: some seconds")
        missing = native.unavailable_reason(cell)
        if missing:
            note(f"no native kernels run here ({missing}): training takes 1.3 to 2 times as long")
        quick = native.multiplies(torch.bfloat16, device) or processor.multiplies_bfloat16()  # by oneDNN
        if model.compute_dtype == torch.bfloat16 and not quick:
            model.compute_dtype = torch.float32
            note("products of bfloat16 are slow here; going on with float32")
        return
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    layer = model.recurrent(0)
    cuda.measure(layer.cell, batch, layer.hidden, model.compute_dtype)
    why = cuda.unavailable_reason()
    if why:
        note(f"not all GPU kernels run here, slower ones do their work: {why}")


def arithmetic(model: SequenceModel, batch: int, device: torch.device) -> str:
    """What decides the last digits of a step beside the numbers in it: kernels, operands, and what they depend on.

    Args:
        model: on the device, prepared.
        batch: sequences side by side.
        device: where it computes.
    """
    layer, operands = model.recurrent(0), str(model.compute_dtype).removeprefix("torch.")
    if cuda.runs(layer.cell, layer.weight_ih, model.compute_dtype):
        weights = layer.weight_hh.to(model.compute_dtype)
        cell = layer.cell
        plans = [cuda.plan_of(cell, cuda.case_of(forward, cell, weights, batch)) for forward in (True, False)]
        return f"CUDA kernels on {operands}, {plans[0]}, {plans[1]}"
    library = native.library() if native.runs(layer.cell, layer.weight_ih, model.compute_dtype) else None
    return f"native kernels on {operands}, {library['tuirnn_lanes']()} lanes" if library else f"portable on {operands}"


def begin_compiling(config: ModelConfig, device: torch.device) -> None:
    """Compile what a network's cell needs on a processor in the background, while data are read."""
    if device.type == "cpu":
        native.prepare(traced(config.recurrent))


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks of up to 32 MB instead of returning them to the system each step.

    Every step allocates the same buffers; without this each comes back as untouched pages, whose first
    writes cost more than the arithmetic on them.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


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
