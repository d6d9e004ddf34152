"""What the machine under the dashboard is doing: processors, memory, disk, and NVIDIA GPUs where their library is."""

import contextlib
import importlib
import shutil
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuirnn import machine
from tuirnn.machine import size

KEPT = 120
"""Readings of each meter that are kept."""

GPU_EXTRA = "GPU: pip install 'tuirnn[gpu]' shows its use"


@dataclass
class Meter:
    """One thing that is used: its share now and before, and what it is in words.

    Attributes:
        name: what is used.
        shares: of all there is, from 0 to 1, the newest last.
        words: how much that is.
    """

    name: str
    shares: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    words: str = ""


class Usage:
    """Reads the meters; `read` may run in any thread, one call at a time.

    Args:
        folder: on the disk that is meant.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._meters: dict[str, Meter] = {}
        self._busy: tuple[float, float] | None = None
        self._nvml: Any = None
        self.note = ""

    def read(self) -> list[Meter]:
        """All meters, with one more reading."""
        self._read_processors()
        if (room := machine.room()) is not None and room.whole > 0:
            used = room.whole - room.free
            self._add("memory", used / room.whole, f"{size(used)} of {size(room.whole)}")
        with contextlib.suppress(OSError):
            disk = shutil.disk_usage(_existing(self._folder))
            self._add("disk", 1 - disk.free / disk.total, f"{size(disk.free)} free")
        self._read_gpus()
        return list(self._meters.values())

    def _add(self, name: str, share: float, words: str) -> None:
        meter = self._meters.setdefault(name, Meter(name))
        meter.shares.append(min(max(share, 0.0), 1.0))
        meter.words = words

    def _read_processors(self) -> None:
        """The share of time in which the processors were at work since the last reading."""
        try:
            fields = [float(word) for word in (machine.PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
        except (OSError, ValueError):
            return
        idle, whole = sum(fields[3:5]), sum(fields[:8])
        before, self._busy = self._busy, (idle, whole)
        if before is not None and whole > before[1]:
            share = 1 - (idle - before[0]) / (whole - before[1])
            self._add("cpu", share, f"{100 * share:.0f} % of {machine.cores()} cores")

    def _read_gpus(self) -> None:
        if self._nvml is False:
            return
        try:
            if self._nvml is None:
                self._nvml = importlib.import_module("pynvml")
                self._nvml.nvmlInit()
            nvml = self._nvml
            for number in range(nvml.nvmlDeviceGetCount()):
                device = nvml.nvmlDeviceGetHandleByIndex(number)
                name, memory = f"gpu {number}", nvml.nvmlDeviceGetMemoryInfo(device)
                busy = nvml.nvmlDeviceGetUtilizationRates(device).gpu
                self._add(name, busy / 100, f"{busy} %{_power(nvml, device)}")
                self._add(f"{name} memory", memory.used / memory.total, f"{size(memory.used)} of {size(memory.total)}")
        except Exception:  # whatever is missing of library, driver or device: there is nothing to show
            self._nvml = False
            self.note = GPU_EXTRA if Path("/proc/driver/nvidia").exists() else ""


def _power(nvml: Any, device: Any) -> str:
    """The power that a GPU draws, and its limit; '' where it does not say."""
    try:
        drawn = nvml.nvmlDeviceGetPowerUsage(device) / 1000
        return f", {drawn:.0f} of {nvml.nvmlDeviceGetEnforcedPowerLimit(device) / 1000:.0f} W"
    except nvml.NVMLError:
        return ""


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((one for one in (folder.absolute(), *folder.absolute().parents) if one.exists()), Path("/"))
