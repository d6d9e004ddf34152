"""The unrolled form of a cell file: many steps in one call, the sampler inside the graph."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import FORCED, TEMPERATURE, TOKEN, TOKENS, TOP_K, UNIFORM
from tuirnn.errors import CellFileError
from tuirnn.runtime.session import compare, open_onnx, pick_device, refusals
from tuirnn.vocab import Ids


class UnrolledSession:
    """Runs N steps of one sequence in a call; tokens are forced where they are known and chosen where they are not.

    Args:
        cell: an inspected file made with `--unroll N`.
        device: 'auto', 'cpu' or 'cuda'.
    Raises:
        CellFileError: ONNX Runtime refuses the graph, or does not reproduce the file's test vector.
    """

    def __init__(self, cell: TrustedCell, *, device: str = "auto") -> None:
        self.metadata = cell.metadata
        self.steps = cell.metadata.unroll
        with refusals():
            self._session: Any = open_onnx(cell.data, pick_device(device), 1)
            fixed = self._session.get_inputs()[0].shape[0]
            self.fixed = fixed if isinstance(fixed, int) else None
            self.batch = self.fixed or 1
            self._names = [output.name for output in self._session.get_outputs()]
            self._check_test_vector()

    def reset(self, token: "int | Ids") -> None:
        """Go back to the state before the first token, which is `token`, or one for each sequence [batch]."""
        shape = (self.metadata.layers, self.batch, self.metadata.hidden)
        self._state = {name: np.zeros(shape, np.float32) for name in self.metadata.state_map.values()}
        self._token = np.broadcast_to(np.asarray(token, np.int64), self.batch).copy()

    def begin(self) -> None:
        """Go to where a text begins; of a primed file that is after its prime."""
        self.reset(self.metadata.opening)
        if self.metadata.primed:
            for name, rows in self.metadata.primed.state.items():
                self._state[name] += np.array(rows, np.float32)[:, None]

    def call(
        self, forced: Ids, uniform: npt.NDArray[np.float32], temperature: float = 1.0, top_k: int = 0
    ) -> tuple[Ids, npt.NDArray[np.float32]]:
        """N steps: read the last token, then choose the next or take the forced one, N times.

        Args:
            forced: int64 [N], or [N, batch]; -1 where the sampler chooses.
            uniform: float32 [N] in [0, 1).
            temperature: divides the logits.
            top_k: keep the k likeliest; 0: all.
        Returns:
            tokens int64 [N] (the last of them is read by the next call) and the last step's logits [batch, V].
        """
        rows = (self.steps, self.batch)
        feeds = {
            TOKEN: self._token,
            TEMPERATURE: np.full(1, temperature, np.float32),
            TOP_K: np.full(1, top_k or len(self.metadata.vocab), np.int64),
            UNIFORM: np.ascontiguousarray(np.broadcast_to(uniform[:, None], rows), np.float32),
            FORCED: np.ascontiguousarray(np.broadcast_to(forced.reshape(self.steps, -1), rows), np.int64),
            **self._state,
        }
        outputs = dict(zip(self._names, self._session.run(None, feeds), strict=True))
        self._state = {into: outputs[out] for out, into in self.metadata.state_map.items()}
        self._token = outputs[TOKENS][-1]
        return outputs[TOKENS][:, 0], outputs["logits"]

    def _check_test_vector(self) -> None:
        test, N = self.metadata.test, self.steps
        tokens = np.array(test.inputs, np.int64)
        if len(tokens) % N:
            raise CellFileError(f"its test vector has {len(tokens)} tokens, not a multiple of its {N} steps")
        self.reset(int(tokens[0]))
        rest = np.append(tokens[1:], 0)
        for forced in rest.reshape(-1, N):
            _, logits = self.call(forced, np.zeros(N, np.float32))
        compare(self.metadata, self.metadata.test, logits)
