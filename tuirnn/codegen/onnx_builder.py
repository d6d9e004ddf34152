"""Collecting the nodes and constants of an ONNX graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper


class GraphBuilder:
    """Collects nodes and constants; each method adds one operator and returns its output's name.

    Attributes:
        prefix: before the name of every node and value, so that a step can be repeated; constants are shared.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.prefix = ""
        self._made: set[str] = set()

    def constant(self, name: str, value: "npt.ArrayLike | Sequence[int]", dtype: npt.DTypeLike | None = None) -> str:
        """A weight (float64 is stored as float32 unless `dtype` says otherwise), codes, sizes or axes."""
        if name not in self.constants:
            array = np.asarray(value)
            if dtype is None and array.dtype == np.float64:
                dtype = np.float32
            with np.errstate(over="ignore"):  # the guard refuses what is not finite
                stored = np.asarray(array, dtype, order="C")
            self.tensor(numpy_helper.from_array(stored, name))
        return name

    def tensor(self, tensor: onnx.TensorProto) -> str:
        """A constant as it is; the first of a name stays."""
        self.constants.setdefault(tensor.name, tensor)
        return str(tensor.name)

    def prefixed(self, *names: str) -> list[str]:
        """The names as they are in the current step."""
        return [self.prefix + name for name in names]

    def op(self, kind: str, *inputs: str, name: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """One operator; its output is called `name`, prefixed, unless `outputs` are given in full."""
        outputs = list(outputs) or self.prefixed(name)
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def once(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """An operator that several users share; `name` in full."""
        if name not in self._made:
            self._made.add(name)
            self.op(kind, *inputs, name=name, outputs=[name], **attributes)
        return name

    def split(self, x: str, names: Sequence[str], sizes: Sequence[int], axis: int = -1) -> list[str]:
        """Cut `x` into named pieces of the given sizes."""
        shape = self.constant("split_" + "_".join(map(str, sizes)), list(sizes))
        outputs = self.prefixed(*names)
        self.op("Split", x, shape, name=names[0], outputs=outputs, axis=axis)
        return outputs

    def add(self, x: str, y: str, name: str) -> str:
        """x + y."""
        return self.op("Add", x, y, name=name)
