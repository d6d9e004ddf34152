"""A network as an ONNX graph of one step, in primitive operators that every runtime has.

States keep their layer axis ([1, B, H] for each layer), which broadcasts against [B, ·]. A pooled state has the shape
of the others, so that a host needs to know only one; it holds the same values for each layer. Embedding, input weights
and biases of the first layer become the rows of one table. Points have the units of the data: the graph normalises
them, and the head's weights include the inverse; both products are float32 in every precision. The nodes of the cell
come from its definition (`codegen.onnx`). The precision determines how weights are stored and multiplied. The optional
sampler and the unrolled form, several steps per call, use the same step; in a block all inputs are known.
"""

import onnx
from onnx import TensorProto, helper

from tuirnn.cellfile.contract import TOKENS, CellMetadata
from tuirnn.codegen.onnx import OnnxCell
from tuirnn.codegen.onnx_builder import GraphBuilder
from tuirnn.export.block import Block
from tuirnn.export.options import CellOptions
from tuirnn.export.precision import PRECISIONS
from tuirnn.export.sampling import sample
from tuirnn.export.step import Step
from tuirnn.export.weights import ModelWeights
from tuirnn.settings.model import ModelConfig


def build(config: ModelConfig, weights: ModelWeights, metadata: CellMetadata, options: CellOptions) -> onnx.ModelProto:
    """Build the ONNX model of a cell file, whose metadata_props are `metadata`."""
    b = GraphBuilder()
    kind = Block if options.block else Step
    step = kind(b, config, weights, PRECISIONS[options.precision], metadata.scaling, metadata.names[1],
                OnnxCell(config.recurrent), options.steps)  # fmt: skip
    states, token, chosen, logits = list(metadata.state_map.values()), metadata.names[0], [], ""
    for t in range(options.unroll):
        b.prefix = f"t{t}_" if options.unroll > 1 else ""
        logits, states = step.take(token, states)
        if options.samples:
            token = sample(b, logits, metadata.vocab.unk, len(metadata.vocab), t if options.unroll > 1 else None)
            chosen.append(token)
    if options.unroll > 1:
        b.prefix = ""
        for name, value in zip((metadata.names[1], *metadata.state_map), (logits, *states), strict=True):
            b.op("Identity", value, name=name)
        rows = [b.op("Unsqueeze", token, b.constant("axis0", [0]), name=token + "_row") for token in chosen]
        b.op("Concat", *rows, name=TOKENS, axis=0)
    kinds = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, kinds[dtype], shape) for name, (dtype, shape) in side.items()]
        for side in metadata.interface(options.static_batch or "batch")
    )
    model = helper.make_model(
        helper.make_graph(b.nodes, "tuirnn_cell", inputs, outputs, list(b.constants.values())),
        opset_imports=[helper.make_opsetid("", options.opset_version)],
        producer_name="tuirnn",
        producer_version=metadata.version,
    )
    model.ir_version = options.ir_version
    helper.set_model_props(model, metadata.to_strings())
    return model
