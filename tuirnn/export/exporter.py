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
from tuirnn.cellfile.contract import FINGERPRINT, STATE_MAP, CellMetadata, Fed, HeldOutLoss, TestVector
from tuirnn.cellfile.sidecar import SHA256, digest, interface
from tuirnn.errors import CellFileError, ConfigError, VerificationError, one_line
from tuirnn.export import reference
from tuirnn.export.graph import build
from tuirnn.export.network import Network, read_network
from tuirnn.export.options import CellOptions
from tuirnn.export.weights import Array
from tuirnn.files import atomic_write_all, to_json
from tuirnn.runs.layout import RunPaths
from tuirnn.scaling import Scaling

TEST_TOKENS = 16
TEST_LOGITS = 256
MAX_LOSS_INCREASE = 0.005
"""What a lossy precision may cost: nats, or of a forecaster squared deviations."""

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
    if network.task != "lm" and options.samples:
        raise ConfigError(f"{network.name} is no language model: its cell has no sampler and chooses no next token")
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
        val_bpc=math.nan if network.scaling else round(network.val_loss / math.log(2), 4),
        val_mse=float(f"{network.val_loss:.6g}") if network.scaling else None,
        data=network.data,
        version=__version__,
        precision=options.precision,
        state_map=dict(STATE_MAP[network.config.cell]),
        loss=loss,
        sampler=options.samples,
        unroll=options.unroll,
        task=network.task,
        classes=network.classes,
        scaling=network.scaling,
        look_back=network.look_back,
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
    from tuirnn.runtime.trial import remember
    from tuirnn.runtime.verify import verify  # onnxruntime only where a file is really written

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
    remember(cell.data)
    return twin


def sidecar(cell: ExportedCell) -> dict[str, Any]:
    """What the JSON file beside the cell says: the metadata, parsed, the graph's interface, the hash of the file."""
    meta = cell.metadata
    values: dict[str, Any] = {}
    for key, text in meta.to_strings().items():
        structured = key.split(".")[-1] in STRUCTURED
        values[key] = (json.loads(text) if text and text != "nan" else None) if structured else text
    return {**values, **interface(meta, cell.batch), SHA256: digest(cell.data)}


STRUCTURED = (
    "vocab", "classes", "normalisation", "look_back", "val_mse", "state_map", "test_vector", "layers", "hidden", "unk",
    "val_bpc", "loss", "sampler", "unroll",
)  # fmt: skip
"""Metadata keys whose values are JSON."""


def _test_vector(network: Network, options: CellOptions) -> TestVector:
    """Tokens spread over the vocabulary, or points that swing about the mean, and what comes out after them.

    In float32 that is the reference's answer, else that of ONNX's own evaluator on the graph, which holds the rounded
    weights.
    """
    count = -(-TEST_TOKENS // options.unroll) * options.unroll
    inputs = _points(network.scaling, count) if network.scaling else _tokens(len(network.vocab), count)
    if options.precision == "fp32":
        state = reference.zero_state(network.config)
        for fed in inputs:
            x = fed if isinstance(fed, int) else _normalised(network, fed)
            outputs, state = reference.step(network.config, network.weights, x, state)
        outputs = network.scaling.restore(outputs) if network.scaling else outputs
    else:
        outputs = _evaluated(network, options.precision, inputs)
    shown = tuple(float(f"{x:.7g}") for x in outputs[: None if network.scaling else TEST_LOGITS])
    return TestVector(inputs, shown, TOLERANCE[options.precision])


def _normalised(network: Network, point: tuple[float, ...]) -> Array:
    assert network.scaling is not None
    return network.scaling.normalise(np.array(point))


def _tokens(vocab: int, count: int) -> tuple[int, ...]:
    return tuple((7 * i + 1) % vocab for i in range(count))


def _points(scaling: Scaling, count: int) -> tuple[tuple[float, ...], ...]:
    swings = np.sin(0.7 * np.arange(count)[:, None] + np.arange(len(scaling)))
    return tuple(tuple(point) for point in scaling.restore(swings).astype(np.float32).tolist())


def _evaluated(network: Network, precision: str, inputs: tuple[Fed, ...]) -> Any:
    """What ONNX's reference evaluator answers to `inputs` on the plain cell of that precision."""
    from onnx.reference import ReferenceEvaluator

    state_map = STATE_MAP[network.config.cell]
    metadata = CellMetadata(
        network.config.cell, "", network.config.layers, network.config.hidden, network.vocab, TestVector((0,), (0.0,)),
        state_map=dict(state_map), task=network.task, classes=network.classes, scaling=network.scaling,
    )  # fmt: skip
    evaluator = ReferenceEvaluator(build(network.config, network.weights, metadata, CellOptions(precision=precision)))
    read, out = metadata.names
    shape = (network.config.layers, 1, network.config.hidden)
    state = {name: np.zeros(shape, np.float32) for name in state_map.values()}
    for fed in inputs:
        feeds = {read: np.array([fed], np.float32 if network.scaling else np.int64), **state}
        outputs = dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True))
        state = {into: outputs[name] for name, into in state_map.items()}
    return outputs[out][0]
