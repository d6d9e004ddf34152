"""Which processor this is, and which of its vector instructions the compiled kernels use.

    plain    what every processor of the architecture has; on x86-64 SSE2, 4 floats at a time
    avx2     x86-64-v3: 8 floats, fused multiply-add
    avx512   x86-64-v4: 16 floats; bfloat16 products where the processor has AVX512_BF16
    amx      bfloat16 products on tiles of 16 × 32 numbers

`TUIRNN_KERNELS` names a lower level than the processor has, or 'amx', which is emulated where it is missing: slowly,
for tests. No torch.
"""

import os
import platform
from functools import cache
from pathlib import Path

from tuirnn.errors import ConfigError, nearest

CPUINFO = Path("/proc/cpuinfo")
PORTABLE = "portable"
"""The value of TUIRNN_KERNELS without any compiled code."""

LEVELS = {
    "plain": (),
    "avx2": ("avx2", "fma", "bmi1", "bmi2", "f16c", "abm", "movbe"),
    "avx512": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "amx": ("amx_tile", "amx_bf16"),
}
"""Level -> the flags of /proc/cpuinfo that it needs beside those of the levels before it."""

MACHINES = {"plain": "x86-64", "avx2": "x86-64-v3"}
"""Level -> the compiler's name of it, for -march, unless it is the highest; the levels above need the processor's own
bfloat16 products."""

TILES = "amx"

SHOWN = {"amx_bf16": "AMX", "avx512_bf16": "AVX512_BF16", "avx512f": "AVX-512", "avx2": "AVX2"}
"""Flags that a processor's name is shown with."""


@cache
def _lines() -> dict[str, frozenset[str]]:
    """Field -> its values in /proc/cpuinfo, over all processors; empty on other systems than Linux."""
    found: dict[str, set[str]] = {}
    try:
        text = CPUINFO.read_text()
    except OSError:
        return {}
    for line in text.splitlines():
        field, colon, value = line.partition(":")
        if colon:
            found.setdefault(field.strip(), set()).add(value.strip())
    return {field: frozenset(values) for field, values in found.items()}


def identity() -> str:
    """What -march=native depends on: names and instruction sets of all processors of this machine."""
    fields = [f"{field}:{value}" for field in ("model name", "flags", "Features") for value in _lines().get(field, ())]
    return "\n".join(sorted(fields)) or platform.processor() + platform.machine()


def flags() -> frozenset[str]:
    """The instruction sets that every processor of this machine has, as /proc/cpuinfo names them."""
    each = [frozenset(line.split()) for line in _lines().get("flags", ())]
    return frozenset.intersection(*each) if each else frozenset()


def label() -> str:
    """The processor's full name and its vector instructions: 'AMD EPYC (AVX512_BF16, AVX-512, AVX2)'."""
    names = sorted(_lines().get("model name", ())) or [platform.processor() or platform.machine()]
    shown = [name for flag, name in SHOWN.items() if flag in flags()]
    return ", ".join(names) + (f" ({', '.join(shown)})" if shown else "")


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16, and kernels may use them."""
    if level() == TILES:
        return True
    return level() == "avx512" and bool(flags() & {"avx512_bf16", "amx_bf16"})


def best() -> str:
    """The highest level that this processor has."""
    found, needed = "plain", set[str]()
    for level, more in LEVELS.items():
        needed.update(more)
        if needed <= flags():
            found = level
    return found


def level() -> str:
    """The level that kernels are compiled for: TUIRNN_KERNELS, else the highest.

    Raises:
        ConfigError: TUIRNN_KERNELS names none, or one that this processor does not have.
    """
    wanted = os.environ.get("TUIRNN_KERNELS", "")
    if wanted in ("", PORTABLE):
        return best()
    if wanted not in LEVELS:
        raise ConfigError(f"TUIRNN_KERNELS={wanted} is unknown; {nearest(wanted, (PORTABLE, *LEVELS))}")
    names = list(LEVELS)
    if names.index(wanted) > names.index(best()) and wanted != TILES:
        raise ConfigError(
            f"TUIRNN_KERNELS={wanted}: this processor has {best()} at most; unset it, or name a lower one"
        )
    return wanted


def compiler_flags() -> tuple[str, ...]:
    """The compiler's flags for `level`."""
    found = level()
    machine = "native" if found == best() else MACHINES.get(found, "native")
    return (f"-march={machine}", *(("-mamx-tile", "-mamx-bf16") if found == best() == TILES else ()))
