"""From a run to a cell file that has been checked, run, and found to be right."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tuirnn import __version__
from tuirnn.cellfile import guard
from tuirnn.cellfile.contract import FINGERPRINT, LOGITS, STATE_MAP, TOKEN, CellMetadata, HeldOutLoss, TestVector
from tuirnn.errors import CellFileError, ConfigError, VerificationError, one_line
from tuirnn.export import reference
from tuirnn.export.graph import build
from tuirnn.export.network import Network, read_network
from tuirnn.export.options import CellOptions
from tuirnn.files import atomic_write_all, to_json
from tuirnn.runs.layout import RunPaths

TEST_TOKENS = 16
TEST_LOGITS = 256
MAX_LOSS_INCREASE = 0.005
"""Nats a token that a lossy precision may cost."""

TOLERANCE = {"fp32": 1e-4, "fp16": 1e-4, "int8": 0.1, "int4": 0.1}
"""Of the test vector, by precision: a product in 8 bits that rounds to the other side moves a logit by hundredths."""


@dataclass(frozen=True)
class ExportedCell:
    """A cell file's bytes and metadata, the step it was made from, and its batch where that is fixed."""

    data: bytes
    metadata: CellMetadata
    step: int
    batch: int | None = None

    @property
    def trusted(self) -> guard.TrustedCell:
        """The file as a loader would have it."""
        return guard.TrustedCell(self.data, self.metadata)


def export_run(
    paths: RunPaths,
    which: str = "best",
    options: CellOptions | None = None,
    *,
    max_loss_increase: float = MAX_LOSS_INCREASE,
) -> ExportedCell:
    """Make the cell file of a run in memory.

    Args:
        paths: the run.
        which: 'best', 'last' or a step.
        options: the file's form.
        max_loss_increase: what a lossy precision may cost on held-out text, nats a token.
    Raises:
        RunError: no such checkpoint, or a damaged one.
        ConfigError: a precision that costs more.
        DataError: the held-out text that a precision is weighed on has changed or is gone.
    """
    return export_network(read_network(paths, which), options, max_loss_increase=max_loss_increase)


def export_network(
    network: Network, options: CellOptions | None = None, *, max_loss_increase: float = MAX_LOSS_INCREASE
) -> ExportedCell:
    """As `export_run`, from a network in memory."""
    options = options or CellOptions()
    if network.classes and (options.samples or options.unroll > 1):
        raise ConfigError(f"{network.name} is a classifier: its cell has no sampler and chooses no next token")
    loss = None
    if options.precision != "fp32" and network.measure is not None:
        loss = weigh(network, options.precision)
        if not loss.nats - loss.nats_fp32 <= max_loss_increase:
            raise ConfigError(
                f"--precision {options.precision} raises the held-out loss from {loss.nats_fp32:.4f} to "
                f"{loss.nats:.4f} nats, more than {max_loss_increase:g}; take another or raise --max-loss-increase"
            )
    return _make(network, options, loss)


def weigh(network: Network, precision: str) -> HeldOutLoss:
    """Measure a precision against float32 on the network's held-out text, through ONNX Runtime."""
    assert network.measure is not None
    (lossy, _), (exact, tokens) = (
        network.measure(_make(network, CellOptions(precision=name), None).trusted) for name in (precision, "fp32")
    )
    return HeldOutLoss(round(lossy, 6), round(exact, 6), tokens)


def _make(network: Network, options: CellOptions, loss: HeldOutLoss | None) -> ExportedCell:
    metadata = CellMetadata(
        cell=network.config.cell,
        variant=network.variant,
        layers=network.config.layers,
        hidden=network.config.hidden,
        vocab=network.vocab,
        test=_test_vector(network, options),
        val_bpc=round(network.val_nats / math.log(2), 4),
        data=network.data,
        version=__version__,
        precision=options.precision,
        state_map=dict(STATE_MAP[network.config.cell]),
        loss=loss,
        sampler=options.samples,
        unroll=options.unroll,
        task="classify" if network.classes else "lm",
        classes=network.classes,
    )
    model = build(network.config, network.weights, metadata, options)
    model.metadata_props.add(key=FINGERPRINT, value=guard.fingerprint(model))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    guard.inspect(data, network.name)
    return ExportedCell(data, metadata, network.step, options.static_batch)


def write_cell(cell: ExportedCell, path: Path) -> Path:
    """Write a cell file and its JSON twin beside it, after ONNX Runtime has reproduced the test vector.

    Returns:
        The path of the JSON twin.
    Raises:
        VerificationError: ONNX Runtime disagrees with the reference; nothing is written.
        CellFileError: the folder cannot be written.
    """
    from tuirnn.runtime.unrolled import verify  # onnxruntime only where a file is really written

    try:
        verify(cell.trusted, device="cpu")
    except CellFileError as error:
        raise VerificationError(f"the exported cell was not written: {error}") from None
    twin = path.with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_all({path: cell.data, twin: to_json(sidecar(cell), indent=1)})
    except OSError as error:
        raise CellFileError(f"cannot write {one_line(path)}: {error.strerror}; choose another place with -o") from None
    return twin


def sidecar(cell: ExportedCell) -> dict[str, Any]:
    """What the JSON file beside the cell says: the metadata, parsed, and the graph's interface."""
    meta = cell.metadata
    values: dict[str, Any] = {}
    for key, text in meta.to_strings().items():
        structured = key.split(".")[-1] in STRUCTURED
        values[key] = (json.loads(text) if text and text != "nan" else None) if structured else text
    inputs, outputs = (
        {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in side.items()}
        for side in meta.interface(cell.batch or "batch")
    )
    return {**values, "inputs": inputs, "outputs": outputs}


STRUCTURED = ("vocab", "state_map", "test_vector", "layers", "hidden", "unk", "val_bpc", "loss", "sampler", "unroll")
"""Metadata keys whose values are JSON."""


def _test_vector(network: Network, options: CellOptions) -> TestVector:
    """Tokens spread over the vocabulary, and the logits after them: in float32 the reference's, else those of ONNX's
    own evaluator on the graph, which holds the rounded weights."""
    V = len(network.vocab)
    count = -(-TEST_TOKENS // options.unroll) * options.unroll
    tokens = tuple((7 * i + 1) % V for i in range(count))
    if options.precision == "fp32":
        state = reference.zero_state(network.config)
        for token in tokens:
            logits, state = reference.step(network.config, network.weights, token, state)
    else:
        logits = _evaluated(network, options.precision, tokens)
    shown = tuple(float(f"{x:.7g}") for x in logits[:TEST_LOGITS])
    return TestVector(tokens, shown, TOLERANCE[options.precision])


def _evaluated(network: Network, precision: str, tokens: tuple[int, ...]) -> Any:
    """Logits after `tokens` from ONNX's reference evaluator on the plain cell of that precision."""
    from onnx.reference import ReferenceEvaluator

    state_map = STATE_MAP[network.config.cell]
    unknown = CellMetadata(
        network.config.cell, "", network.config.layers, network.config.hidden, network.vocab,
        TestVector((0,), (0.0,)), state_map=dict(state_map), classes=network.classes,
    )  # fmt: skip
    evaluator = ReferenceEvaluator(build(network.config, network.weights, unknown, CellOptions(precision=precision)))
    shape = (network.config.layers, 1, network.config.hidden)
    state = {name: np.zeros(shape, np.float32) for name in state_map.values()}
    for token in tokens:
        feeds = {TOKEN: np.array([token]), **state}
        outputs = dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True))
        state = {into: outputs[out] for out, into in state_map.items()}
    return outputs[LOGITS][0]
