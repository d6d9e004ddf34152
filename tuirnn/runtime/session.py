"""A cell in ONNX Runtime, its hidden state carried from step to step."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import NEXT, TEMPERATURE, TOP_K, UNIFORM, CellMetadata
from tuirnn.cellfile.vectors import RELATIVE_TOLERANCE, TestVector
from tuirnn.errors import CellFileError, ConfigError, OutOfMemoryError, TuirnnError, chosen, one_line
from tuirnn.shortage import shortage

Logits = npt.NDArray[np.float32]
Snapshot = tuple[npt.NDArray[np.float32], ...]
"""Copies of the state tensors, in the order of `state_map`, each of its shape in `CellMetadata.interface`."""

THREADS_PAY_FROM = 4 * 2**20
"""Bytes of a model from which it is worth trying more than one thread."""

TRIAL_SECONDS = 0.02


def open_onnx(data: bytes, device: str, threads: int) -> Any:
    """A silent InferenceSession on `device` ('cpu' or 'cuda'); raises what ONNX Runtime does."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers = (["CUDAExecutionProvider"] if device == "cuda" else []) + ["CPUExecutionProvider"]
    return ort.InferenceSession(data, options, providers=providers, enable_fallback=0)


def _runner(session: Any, binding: Any) -> Callable[[], object]:
    """Return a function that runs a session with a binding.

    A step of a small cell takes some 15 µs, of which ONNX Runtime's Python method and the options that it makes for
    each call are a tenth: what is below them is called directly, where it has its usual name.
    """
    options, below = ort.RunOptions(), getattr(session, "_sess", None)
    if below is None or not hasattr(binding, "_iobinding"):
        return partial(session.run_with_iobinding, binding, options)
    return partial(below.run_with_iobinding, binding._iobinding, options)


def cuda_is_there() -> bool:
    """Whether ONNX Runtime could use a GPU: its CUDA provider is built in and the driver loads."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


class CellSession:
    """Feeds tokens, or points, to a cell, one step at a time.

    Two sets of state buffers take turns as input and output, bound once, so that a step copies nothing and
    allocates nothing.

    Args:
        cell: an inspected file.
        device: 'auto', 'cpu' or 'cuda'.
        batch: sequences that are fed side by side; None: what the file fixes, else one.
        threads: of ONNX Runtime; None: as many as were fastest for this cell on this machine, where that is known;
            else one, unless a short trial with more is faster.
    Raises:
        CellFileError: ONNX Runtime refuses the graph, or does not reproduce the file's test vector.
        ConfigError: CUDA was asked for and is not there.
    """

    def __init__(
        self, cell: TrustedCell, *, device: str = "auto", batch: int | None = None, threads: int | None = None
    ) -> None:
        self.metadata = cell.metadata
        self._asked_batch = batch
        self._device = pick_device(device)
        if cell.metadata.steps > 1:
            option = "--block" if cell.metadata.block else "--unroll"
            raise CellFileError(
                f"the cell takes {cell.metadata.steps} steps in a call; here it is stepped one by one, export it "
                f"without {option}"
            )
        cores = os.cpu_count() or 1
        with refusals():
            if cell.threads is not None and threads is batch is None and self._device == "cpu":
                self._open(cell.data, cell.threads)  # such a session has reproduced the test vector of these bytes
                return
            self._open(cell.data, threads or 1)
            if threads is None and cores > 1 and len(cell.data) > THREADS_PAY_FROM and self._device == "cpu":
                single = self._trial()
                self._open(cell.data, cores)
                if self._trial() > 0.9 * single:
                    self._open(cell.data, 1)
            self._check_test_vector()

    @property
    def provider(self) -> str:
        """Where the steps run: 'CPU' or 'CUDA'."""
        name: str = self._session.get_providers()[0]
        return name.removesuffix("ExecutionProvider")

    @property
    def fixed(self) -> int | None:
        """Size of the batch axis where the file fixes it."""
        size = self._session.get_inputs()[0].shape[0]
        return size if isinstance(size, int) else None

    def resize(self, batch: int) -> None:
        """Go on with so many sequences, from the zero state; only where the file does not fix them."""
        self._asked_batch = batch
        self._bind()

    def step(self, token: "int | Sequence[float] | npt.NDArray[Any]") -> Logits:
        """Feed one token or point per sequence and carry the state on.

        Args:
            token: an id for all sequences, or int64 [batch]; a point for all, or [batch, F], in the data's own units.
        Returns:
            logits float32 [batch, V], or the next points [batch, F]; the buffer is overwritten by the next step.
        """
        self.token[:] = token
        return self.advance()

    def advance(self) -> Logits:
        """As `step`, with what stands in `token`, int64 [batch] or float32 [batch, F]: for whoever writes there."""
        self._runs[self._turn]()
        self._turn ^= 1
        return self.logits

    def steps(self) -> "cycle[Callable[[], object]]":
        """Functions that each do the next `advance`, in turn; `stepped` must be told the last one that was called."""
        return cycle(self._runs[self._turn :] + self._runs[: self._turn])

    def stepped(self, last: Callable[[], object] | None) -> None:
        """Note the last function of `steps` that was called; None: none."""
        if last is not None:
            self._turn = 1 - self._runs.index(last)

    def read(self, fed: "npt.NDArray[Any]") -> Logits:
        """Feed inputs that are all known, tokens [T, batch] or points [T, batch, F]; returns the outputs [T, batch, ·].

        A cell file with `--block` does it faster: see `runtime.block`.
        """
        seen = np.empty((len(fed), *self.logits.shape), np.float32)
        for t, row in enumerate(fed):
            seen[t] = self.step(row)
        return seen

    def set_sampler(self, temperature: float, top_k: int, uniform: "float | npt.NDArray[np.float32]") -> None:
        """Inputs of the graph's own sampler for the next step; its choice is then in `next_token`, int64 [batch].

        Only for files with a sampler; `top_k` 0 means all.
        """
        inputs = self._sampler_inputs
        inputs[TEMPERATURE][:], inputs[TOP_K][:] = temperature, top_k or len(self.metadata.vocab)
        inputs[UNIFORM][:] = uniform

    def reset(self) -> None:
        """Go back to zeros, the state before anything was read."""
        self.restore(tuple(np.zeros(shape, np.float32) for shape in self._shapes))

    def begin(self) -> Logits:
        """Go to where a text begins, and read the opening token; of a primed file that is after its prime.

        Returns:
            As `step`.
        """
        meta = self.metadata
        self.reset()
        if meta.primed:
            rows = [np.array(meta.primed.state[name], np.float32)[:, None] for name in meta.state_map.values()]
            self.restore(tuple(np.broadcast_to(x, shape) for x, shape in zip(rows, self._shapes, strict=True)))
        return self.step(meta.opening)

    def snapshot(self) -> Snapshot:
        """A copy of the state, for `restore`."""
        return tuple(np.array(state.numpy(), copy=True) for state in self._states[self._turn])

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; what follows is bit for bit what followed then."""
        for state, values in zip(self._states[self._turn], snapshot, strict=True):
            state.update_inplace(np.ascontiguousarray(values, dtype=np.float32))

    def _open(self, data: bytes, threads: int) -> None:
        self.threads = threads
        self._session: Any = open_onnx(data, self._device, threads)
        if self._session.get_providers()[0] == "CPUExecutionProvider":
            self._device = "cpu"
        self._bind()

    def _bind(self) -> None:
        meta = self.metadata
        fixed = self.fixed
        self.batch = self._asked_batch or fixed or 1
        if fixed not in (None, self.batch):
            raise CellFileError(
                f"the cell was exported for a batch of {fixed}, {self.batch} is needed here; export it without "
                "--static-batch"
            )
        read, answer = meta.names
        inputs = meta.interface(self.batch)[0]
        self._shapes = [tuple(map(int, inputs[name][1])) for name in meta.state_map.values()]
        dtype, shape = inputs[read]
        self.token: npt.NDArray[Any] = np.zeros(tuple(map(int, shape)), dtype)
        self.logits = np.zeros((self.batch, meta.outputs), np.float32)
        self.next_token = np.zeros(self.batch, np.int64)
        self._sampler_inputs: dict[str, npt.NDArray[Any]] = {}
        if meta.sampler:
            self._sampler_inputs = {
                TEMPERATURE: np.ones(1, np.float32),
                TOP_K: np.full(1, len(meta.vocab), np.int64),
                UNIFORM: np.zeros(self.batch, np.float32),
            }
        self._states = [
            [ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32), self._device, 0) for shape in self._shapes]
            for _ in range(2)
        ]
        self._turn = 0
        self._runs: list[Callable[[], object]] = []
        for before, after in (self._states, self._states[::-1]):
            binding = self._session.io_binding()
            binding.bind_input(read, "cpu", 0, self.token.dtype, self.token.shape, self.token.ctypes.data)
            binding.bind_output(answer, "cpu", 0, np.float32, self.logits.shape, self.logits.ctypes.data)
            for name, buffer in self._sampler_inputs.items():
                binding.bind_input(name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
            if meta.sampler:
                binding.bind_output(NEXT, "cpu", 0, np.int64, self.next_token.shape, self.next_token.ctypes.data)
            for (out, into), old, new in zip(meta.state_map.items(), before, after, strict=True):
                binding.bind_ortvalue_input(into, old)
                binding.bind_ortvalue_output(out, new)
            self._runs.append(_runner(self._session, binding))

    def _trial(self) -> float:
        """Seconds a step, over a short burst."""
        for _ in range(3):
            self.step(0)
        steps, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < TRIAL_SECONDS:
            self.step(0)
            steps += 1
        self.reset()
        return spent / steps

    def _check_test_vector(self) -> None:
        self.reset()
        for fed in self.metadata.test.inputs:
            self.step(fed)
        compare(self.metadata, self.metadata.test, self.logits)
        self.reset()


@contextmanager
def refusals() -> Iterator[None]:
    """What ONNX Runtime says of a graph, when it loads it or first runs it, becomes a CellFileError."""
    try:
        yield
    except TuirnnError:
        raise
    except Exception as error:  # it raises many kinds of its own
        if short := shortage(error):
            raise OutOfMemoryError(
                f"{short}; ask for less (--samples, --length, a shorter --text), or use a smaller cell"
            ) from None
        raise CellFileError(f"ONNX Runtime refuses this cell: {one_line(error, 200)}") from None


def compare(metadata: CellMetadata, test: TestVector, outputs: Logits) -> None:
    """Hold outputs [B, ·] against those of a test vector; raises CellFileError where they differ."""
    expected = np.asarray(test.outputs, np.float64)
    if metadata.scaling:  # each column in its own units, beside what float32 loses in a value of that size
        allowed = test.atol * np.array(metadata.scaling.std) + RELATIVE_TOLERANCE * np.abs(expected)
    else:
        allowed = np.full(len(expected), test.atol * max(1.0, float(np.abs(expected).max())))
    off = np.abs(outputs[:, : len(expected)] - expected)
    if not (off <= allowed).all():
        differs(float(off.max()))


def differs(off: float) -> NoReturn:
    """Raise the CellFileError of a cell that computes something else than it says."""
    raise CellFileError(f"the cell does not reproduce its own test vector (off by {off:.3g}); export it anew")


def pick_device(wanted: str) -> str:
    """'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'.

    Raises:
        ConfigError: another word, or a GPU that is not there.
    """
    wanted = chosen("--device", wanted, ("auto", "cpu", "cuda"))
    there = wanted != "cpu" and cuda_is_there()
    if wanted == "cuda" and not there:
        raise ConfigError(
            "--device cuda: ONNX Runtime finds no GPU driver here; use --device auto or cpu, or see 'tuirnn doctor'"
        )
    return "cuda" if there else "cpu"
