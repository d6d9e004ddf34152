"""A network's C source compiled and run in this process, for timing against ONNX Runtime."""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tuirnn import compiling
from tuirnn.cellfile.vectors import TestVector
from tuirnn.export.c_source import FLAGS, write_c
from tuirnn.export.network import Network


@contextmanager
def compiled(network: Network, test: TestVector) -> Iterator[Callable[[int], None] | None]:
    """Compile the C source of a language model for this processor.

    Returns:
        A context manager with a function that runs a number of steps; None without a compiler.
    """
    found = compiling.compiler("c")
    if found is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        write_c(network, test, Path(folder))
        library = Path(folder) / "cell.so"
        flags = [*FLAGS, "-march=native", "-shared", "-fPIC"]
        sources = [str(library.with_name(name)) for name in ("cell.c", "cell_weights.c")]
        subprocess.run([found, *flags, *sources, "-lm", "-o", str(library)], check=True)  # noqa: S603
        cell = ctypes.CDLL(str(library))
        state, logits = np.zeros(1 << 20, np.float32), np.zeros(1 << 20, np.float32)
        arguments = (ctypes.c_void_p(state.ctypes.data), 0, ctypes.c_void_p(logits.ctypes.data))

        def burst(count: int) -> None:
            for _ in range(count):
                cell.cell_step(*arguments)

        yield burst
