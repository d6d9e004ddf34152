"""The precisions of a cell file: how it stores weights and multiplies by them: fp32, fp16, int8, int4.

A precision determines the product with a weight matrix and the look-up of a table's row; the rest of the graph is the
same. All arithmetic between products is float32.

- fp16: half the file size; a runtime converts the weights to float32 when it loads the file.
- int8: matrices and activations in 8 bits, sums in 32, so the result does not depend on the processor. Weights are
  unsigned with zero point 128: signed ones may overflow the 16-bit sums of older x86 instructions. Activations with a
  bound (see `codegen.ranges`) have a fixed scale, so that a sequence does not depend on others in the batch; the scale
  of other activations is computed at each step.
- int4: matrices in 4 bits with a scale for each 16 rows of a column, activations in float32; needs opset 21.
"""

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from tuirnn.codegen.onnx_builder import GraphBuilder
from tuirnn.export.weights import Array

MATRIX_FROM = 256
"""Fewest columns of a matrix that int4 stores in four bits."""

BLOCK = 16
"""Rows of a column that share a scale in int4."""


class Precision(ABC):
    """A way to store weights.

    Attributes:
        opset: the first that has its operators.
        exact: whether splitting the head's sum improves accuracy, see `Step`.
    """

    opset = 13
    exact = False

    @abstractmethod
    def product(self, b: GraphBuilder, x: str, W: Array, name: str, bound: float | None) -> str:
        """Add the product of x [..., K] and W [K, N]; returns its name.

        Args:
            b: the graph.
            x: name of the left factor, float32.
            W: right factor, stored as a constant.
            name: of the product, and prefix of its constants.
            bound: largest absolute value of x; None if unknown.
        """

    @abstractmethod
    def rows(self, b: GraphBuilder, table: Array, token: str, name: str) -> str:
        """Add the rows [B, N] of `table` [V, N] for the tokens [B]; returns their name."""


class Float(Precision):
    """Weights in float32 or float16."""

    exact = True

    def __init__(self, stored: npt.DTypeLike) -> None:
        self.stored = stored

    def product(self, b: GraphBuilder, x: str, W: Array, name: str, bound: float | None) -> str:
        """Add a MatMul."""
        weight = b.constant(name + "_weight", W, self.stored)
        if self.stored == np.float16:
            weight = b.once("Cast", weight, name=weight + "_wide", to=TensorProto.FLOAT)
        return b.op("MatMul", x, weight, name=name)

    def rows(self, b: GraphBuilder, table: Array, token: str, name: str) -> str:
        """Add a Gather; only the selected rows are converted to float32."""
        stored = b.constant("table", table, self.stored)
        if self.stored == np.float16:
            row = b.op("Gather", stored, token, name=name + "_half")
            return b.op("Cast", row, name=name, to=TensorProto.FLOAT)
        return b.op("Gather", stored, token, name=name)


class Int8(Precision):
    """Weights in eight bits, with a scale for each column."""

    def product(self, b: GraphBuilder, x: str, W: Array, name: str, bound: float | None) -> str:
        """Add the quantization of x, an integer product, and its scaling."""
        codes, scale = quantize(W, 127)
        weight = b.constant(name + "_weight", (codes + 128).astype(np.uint8))
        middle = b.constant("middle", np.uint8(128))
        if bound is None:
            x8, x_scale, x_zero = b.prefixed(f"{name}_x8", f"{name}_x_scale", f"{name}_x_zero")
            b.op("DynamicQuantizeLinear", x, name=x8, outputs=[x8, x_scale, x_zero])
            column = b.op("Mul", x_scale, b.constant(name + "_scale", scale), name=name + "_scales")
        else:
            step = b.constant(f"step_{bound:.9g}", np.float32(bound / 127))
            x_zero = middle
            x8 = b.once("QuantizeLinear", x, step, middle, name=f"{x}_x8")
            column = b.constant(name + "_scale", scale * np.float32(bound / 127))
        total = b.op("MatMulInteger", x8, weight, x_zero, middle, name=name + "_total")
        wide = b.op("Cast", total, name=name + "_wide", to=TensorProto.FLOAT)
        return b.op("Mul", wide, column, name=name)

    def rows(self, b: GraphBuilder, table: Array, token: str, name: str) -> str:
        """Add a Gather of eight-bit rows, and their scaling."""
        codes, scale = quantize(table, 127)
        row = b.op("Gather", b.constant("table", codes.astype(np.int8)), token, name=name + "_row")
        wide = b.op("Cast", row, name=name + "_wide", to=TensorProto.FLOAT)
        return b.op("Mul", wide, b.constant("table_scale", scale), name=name)


class Int4(Int8):
    """Weights in four bits, with a scale for each 16 rows of a column; the table in eight: Gather has no four."""

    opset = 21

    def product(self, b: GraphBuilder, x: str, W: Array, name: str, bound: float | None) -> str:
        """Add a blocked DequantizeLinear and a MatMul, which runtimes fuse.

        ONNX Runtime does not if several steps multiply by one matrix, and then computes its weights anew in each step.
        A Split into a single part between the two keeps it from that: the weights are computed once in a call.
        """
        K, N = W.shape
        if K % BLOCK or N < MATRIX_FROM:  # blocks are whole; the head is small, and affects the loss most
            return super().product(b, x, W, name, bound)
        blocks = W.reshape(K // BLOCK, BLOCK, N)
        codes, scale = quantize(blocks.transpose(1, 0, 2).reshape(BLOCK, -1), 7, CLIPPINGS)
        codes = codes.reshape(BLOCK, K // BLOCK, N).transpose(1, 0, 2).reshape(K, N)
        weight = b.constant(name + "_weight", codes, helper.tensor_dtype_to_np_dtype(TensorProto.INT4))
        scales = b.constant(name + "_scale", scale.reshape(K // BLOCK, N))
        wide = b.once("DequantizeLinear", weight, scales, name=weight + "_wide", axis=0, block_size=BLOCK)
        if b.prefix:  # one of several steps
            wide = b.once("Split", wide, b.constant(f"whole_{K}", [K]), name=weight + "_once", axis=0)
        return b.op("MatMul", x, wide, name=name)


CLIPPINGS = tuple(share / 20 for share in range(13, 21))

PRECISIONS: dict[str, Precision] = {
    "fp32": Float(np.float32),
    "fp16": Float(np.float16),
    "int8": Int8(),
    "int4": Int4(),
}


def quantize(
    W: Array, most: int, clippings: tuple[float, ...] = (1.0,)
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Quantize the columns of a matrix.

    Args:
        W: [K, N].
        most: largest absolute code.
        clippings: shares of a column's largest weight to try as the largest code; that with the least squared error
            is used.
    Returns:
        Codes [K, N] in ±`most` and scales [N], so that codes · scales approximates W.
    """
    largest = np.abs(W).max(0)
    full = np.where(largest > 0, largest / most, 1.0)
    scale, least = full.astype(np.float32), np.full(full.shape, np.inf)
    for share in clippings if len(clippings) > 1 else ():
        tried = (full * share).astype(np.float32)
        error = ((np.clip(np.rint(W / tried), -most, most) * tried - W) ** 2).sum(0)
        scale, least = np.where(error < least, tried, scale), np.minimum(error, least)
    return np.clip(np.rint(W / scale), -most, most).astype(np.int64), scale
