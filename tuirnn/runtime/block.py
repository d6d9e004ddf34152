"""The block form of a cell file: inputs that are known, many in one call, with the outputs of each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import LAST
from tuirnn.runtime.session import Logits, Snapshot, compare, open_onnx, pick_device, refusals


class BlockSession:
    """Reads sequences side by side, a block in a call; what is left of a block is filled up.

    Args:
        cell: an inspected file made with `--block N`.
        device: 'auto', 'cpu' or 'cuda'.
        batch: sequences side by side; None: what the file fixes, else one.
        threads: of ONNX Runtime.
    Raises:
        CellFileError: ONNX Runtime refuses the graph, or does not reproduce the file's test vector.
    """

    def __init__(self, cell: TrustedCell, *, device: str = "auto", batch: int | None = None, threads: int = 1) -> None:
        self.metadata = cell.metadata
        self.steps = cell.metadata.block
        with refusals():
            self._session: Any = open_onnx(cell.data, pick_device(device), threads)
            fixed = self._session.get_inputs()[0].shape[1]
            self.fixed = fixed if isinstance(fixed, int) else None
            self._names = [output.name for output in self._session.get_outputs()]
            self.resize(batch or self.fixed or 1)
            test = self.metadata.test
            compare(self.metadata, test, self.read(np.array(test.inputs))[-1])
            self.reset()

    def resize(self, batch: int) -> None:
        """Go on with so many sequences, from the zero state."""
        self.batch = batch
        self.reset()

    def reset(self) -> None:
        """Go back to the state before the first input: zeros."""
        shapes = self.metadata.interface(self.batch)[0]
        into = self.metadata.state_map.values()
        self._state = {name: np.zeros(tuple(map(int, shapes[name][1])), np.float32) for name in into}

    def snapshot(self) -> Snapshot:
        """A copy of the state, for `restore`, or for a `CellSession` of the same network."""
        return tuple(values.copy() for values in self._state.values())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._state = dict(zip(self._state, snapshot, strict=True))

    def step(self, token: "int | Sequence[float] | npt.NDArray[Any]") -> Logits:
        """Read one input per sequence, as `CellSession.step` does; a whole block is computed for it."""
        fed = np.asarray(token)
        shape = (self.batch, self.metadata.scaling.inputs) if self.metadata.scaling else (self.batch,)
        seen: Logits = self.read(np.broadcast_to(fed, shape)[None])[0]
        return seen

    def read(self, fed: npt.NDArray[Any]) -> Logits:
        """Read inputs that are known, and carry the state on.

        Args:
            fed: tokens [T] or [T, batch], points [T, F] or [T, batch, F]; without a batch the same for all.
        Returns:
            The outputs of each step, [T, batch, ·].
        """
        read, out = self.metadata.names
        dtype, shape = self.metadata.interface(self.batch)[0][read]
        rank = len(shape)
        if fed.ndim < rank:
            fed = fed[:, None]
        fed = np.broadcast_to(fed, (len(fed), self.batch, *fed.shape[2:]))
        seen = np.empty((len(fed), self.batch, self.metadata.outputs), np.float32)
        for start in range(0, len(fed), self.steps):
            part = fed[start : start + self.steps]
            n = len(part)
            full = part if n == self.steps else np.concatenate([part, np.repeat(part[-1:], self.steps - n, 0)])
            feeds = {read: np.ascontiguousarray(full, dtype), LAST: np.array([n - 1]), **self._state}
            outputs = dict(zip(self._names, self._session.run(None, feeds), strict=True))
            self._state = {into: outputs[name] for name, into in self.metadata.state_map.items()}
            seen[start : start + n] = outputs[out][:n]
        return seen
