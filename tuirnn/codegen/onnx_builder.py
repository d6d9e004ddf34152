"""Builds the nodes and constants of an ONNX graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper


class GraphBuilder:
    """Collects nodes and constants.

    Attributes:
        nodes: in order.
        constants: by name.
        prefix: of the name of every node and value, so that a step can be repeated; constants are shared.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.prefix = ""
        self._made: set[str] = set()

    def constant(self, name: str, value: "npt.ArrayLike | Sequence[int]", dtype: npt.DTypeLike | None = None) -> str:
        """Add a constant, unless one of this name exists.

        Args:
            name: without prefix.
            value: weights, codes, sizes or axes.
            dtype: element type in the file; None: that of the value, and float32 for float64.
        Returns:
            Its name.
        """
        if name not in self.constants:
            array = np.asarray(value)
            if dtype is None and array.dtype == np.float64:
                dtype = np.float32
            with np.errstate(over="ignore"):  # the guard refuses values that are not finite
                stored = np.asarray(array, dtype, order="C")
            self.constants[name] = numpy_helper.from_array(stored, name)
        return name

    def prefixed(self, *names: str) -> list[str]:
        """Return names with the current prefix."""
        return [self.prefix + name for name in names]

    def op(self, kind: str, *inputs: str, name: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add an operator.

        Args:
            kind: ONNX operator.
            inputs: names of values, with prefix.
            name: of the output, without prefix.
            outputs: names of several outputs, with prefix; they replace `name`.
            attributes: of the operator.
        Returns:
            The name of the first output.
        """
        outputs = list(outputs) or self.prefixed(name)
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def once(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Add an operator with a single output `name` (with prefix), unless it exists; returns `name`."""
        if name not in self._made:
            self._made.add(name)
            self.op(kind, *inputs, name=name, outputs=[name], **attributes)
        return name

    def split(self, x: str, names: Sequence[str], sizes: Sequence[int], axis: int = -1) -> list[str]:
        """Add a Split of `x` along an axis into pieces of these sizes; returns their names, with prefix."""
        shape = self.constant("split_" + "_".join(map(str, sizes)), list(sizes))
        outputs = self.prefixed(*names)
        self.op("Split", x, shape, name=names[0], outputs=outputs, axis=axis)
        return outputs

    def add(self, x: str, y: str, name: str) -> str:
        """Add the sum x + y; returns its name."""
        return self.op("Add", x, y, name=name)
