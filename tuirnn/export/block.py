"""The nodes of a block: N steps whose inputs are all known, in one call, with the outputs of each.

Layer by layer: products with what is known of all steps are one product each, [N, B, ·]; the recurrent ones follow one
another. The state that comes out is that after the step `last`, so that a block may be filled up with anything.
"""

from dataclasses import dataclass

import numpy as np

from tuirnn.cellfile.contract import LAST
from tuirnn.export.step import Step


@dataclass(frozen=True)
class Block(Step):
    """Adds the nodes of all steps at once: reads tokens [N, B] or points [N, B, F], and the outputs are [N, B, ·]."""

    def _layer(self, i: int, x: str, x_bound: float | None, before: list[str]) -> tuple[str, list[str]]:
        """Add layer i, one step after the other; returns its h [N, B, H] and its parts after the step `last`."""
        gx = self._input_half(i, x, x_bound) if i else x
        b, N, letters = self.b, self.steps, self.cell.cell.state
        sizes, H = [len(part) for part in self.cell.blocks], self.config.hidden
        names = [f"l{i}_gx_{self.cell.label(part)}" for part in self.cell.blocks]
        parts = b.split(gx, names, [size * H for size in sizes]) if len(sizes) > 1 else [gx]
        rows = [b.split(part, [f"{part}_{t}" for t in range(N)], [1] * N, axis=0) for part in parts]
        seen: list[list[str]] = []
        for t in range(N):
            b.prefix = f"t{t}_"
            before = self._cell_step(i, [row[t] for row in rows], before, [f"{letter}{i}_out" for letter in letters])
            seen.append(before)
        b.prefix = ""
        whole = [
            b.op("Concat", *column, name=f"{letter}{i}_all", axis=0)
            for letter, column in zip(letters, zip(*seen, strict=True), strict=True)
        ]
        ends = [f"{letter}_out" if self.config.layers == 1 else f"{letter}{i}_last" for letter in letters]
        return whole[0], [self._at_last(part, end) for part, end in zip(whole, ends, strict=True)]

    def _at_last(self, values: str, name: str) -> str:
        """Add what values [N, B, ·] are at the step `last`, [1, B, ·]."""
        return self.b.op("Gather", values, LAST, name=name, axis=0)

    def _pooled(self, x: str, before: str) -> tuple[str, str]:
        """Add the largest values so far beside x, [N, B, 2H], and the pooled state after the step `last`."""
        b, N, L = self.b, self.steps, self.config.layers
        most, seen = self._layers_of(before, "pooled")[0], []
        for t, row in enumerate(b.split(x, [f"top_{t}" for t in range(N)], [1] * N, axis=0)):
            most = b.op("Max", most, row, name=f"pooled_{t}")
            seen.append(most)
        whole = b.op("Concat", *seen, name="pooled_all", axis=0)
        end = self._at_last(whole, "pooled_out" if L == 1 else "pooled_last")
        return b.op("Concat", x, whole, name="both", axis=-1), self._stacked("pooled_out", [end] * L)

    def _top(self, x: str) -> str:
        return x

    def _newest(self, point: str) -> str:
        return self.b.op("Squeeze", self._at_last(point, "last_point"), self.b.constant("axis0", [0]), name="last_row")

    def _difference(self, point: str, state: str) -> str:
        """Add the differences of points to the ones before [N, B, F], 0 for the first; and 1 for the state [B, 1]."""
        b, N, scaling = self.b, self.steps, self.scaling
        assert scaling is not None
        last, known = b.split(state, ["last_seen", "was_known"], [len(scaling), 1])  # [B, F], [B, 1]
        axis = b.constant("axis0", [0])
        one = b.add(
            b.op("Mul", known, b.constant("zero", np.zeros(1)), name="nothing"), b.constant("one", np.ones(1)), "known"
        )
        first = b.op("Unsqueeze", last, axis, name="last_seen_row")
        others = b.split(point, ["points_but_last", "point_last"], [N - 1, 1], axis=0)[0]
        off = b.op("Sub", point, b.op("Concat", first, others, name="points_before", axis=0), name="off_last")
        one_row = b.op("Unsqueeze", one, axis, name="known_row")
        mask = [b.op("Unsqueeze", known, axis, name="was_known_row"), *[one_row] * (N - 1)]
        off = b.op("Mul", off, b.op("Concat", *mask, name="known_all", axis=0), name="off_known")
        return b.op("Mul", off, b.constant("one_over_step", 1 / np.array(scaling.steps)), name="normalised")
