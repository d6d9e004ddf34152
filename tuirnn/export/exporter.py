"""From a run to a cell file that has been checked, run, and found to be right."""

import contextlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from tuirnn import __version__
from tuirnn.cellfile import guard
from tuirnn.cellfile.contract import FINGERPRINT, LOGITS, STATE_MAP, TOKEN, CellMetadata, TestVector
from tuirnn.errors import CellFileError, ConfigError, VerificationError, one_line
from tuirnn.export import reference
from tuirnn.export.graph import DEFAULT_OPSET, IR_VERSIONS, build
from tuirnn.export.weights import ModelWeights, read_weights
from tuirnn.files import atomic_write, to_json
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, as_number, read_record
from tuirnn.tasks.datasets import dataset_names
from tuirnn.vocab import Vocabulary

TEST_TOKENS = 16
TEST_LOGITS = 256


@dataclass(frozen=True)
class ExportedCell:
    """A cell file's bytes and metadata, the step it was made from, and its batch where that is fixed."""

    data: bytes
    metadata: CellMetadata
    step: int
    batch: int | None = None


def export_run(
    paths: RunPaths, which: str = "best", *, opset: int = DEFAULT_OPSET, static_batch: int | None = None
) -> ExportedCell:
    """Make the cell file of a run in memory.

    Args:
        paths: the run.
        which: 'best', 'last' or a step.
        opset: 13 or later.
        static_batch: fixes the batch axis.
    Raises:
        RunError: no such checkpoint, or a damaged one.
        ConfigError: an opset that is not known.
    """
    if opset not in IR_VERSIONS:
        raise ConfigError(f"--opset {opset} is not known; choose from {min(IR_VERSIONS)} to {max(IR_VERSIONS)}")
    if static_batch is not None and not 1 <= static_batch <= 65_536:
        raise ConfigError(f"--static-batch must be from 1 to 65536, not {static_batch}")
    record = read_record(paths)
    saved = checkpoint.load(paths, which)
    weights = read_weights(saved.files[checkpoint.MODEL], record.config.model, saved.path.name)
    metadata = _metadata(record, weights, saved)
    model = build(record.config.model, weights, metadata, opset=opset, static_batch=static_batch)
    model.metadata_props.add(key=FINGERPRINT, value=guard.fingerprint(model))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    guard.inspect(data, paths.name)
    return ExportedCell(data, metadata, saved.step, static_batch)


def write_cell(cell: ExportedCell, path: Path) -> Path:
    """Write a cell file and its JSON twin beside it, after ONNX Runtime has reproduced the test vector.

    Returns:
        The path of the JSON twin.
    Raises:
        VerificationError: ONNX Runtime disagrees with the reference; nothing is written.
        CellFileError: the folder cannot be written.
    """
    from tuirnn.runtime.session import CellSession  # onnxruntime only where a file is really written

    try:
        CellSession(guard.TrustedCell(cell.data, cell.metadata), device="cpu")
    except CellFileError as error:
        raise VerificationError(f"the exported cell was not written: {error}") from None
    twin = path.with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(twin, to_json(sidecar(cell), indent=1))
        atomic_write(path, cell.data)
    except OSError as error:
        with contextlib.suppress(OSError):
            twin.unlink(missing_ok=True)
        raise CellFileError(f"cannot write {one_line(path)}: {error.strerror}; choose another place with -o") from None
    return twin


def sidecar(cell: ExportedCell) -> dict[str, Any]:
    """What the JSON file beside the cell says: the metadata, parsed, and the graph's interface."""
    meta = cell.metadata
    values: dict[str, Any] = {}
    for key, text in meta.to_strings().items():
        structured = key.split(".")[-1] in (
            "vocab",
            "state_map",
            "test_vector",
            "layers",
            "hidden",
            "unk",
            "val_bpc",
        )
        values[key] = (json.loads(text) if text and text != "nan" else None) if structured else text
    batch = cell.batch or "batch"
    state = ["layers", batch, "hidden"]
    return {
        **values,
        "inputs": {
            TOKEN: {"dtype": "int64", "shape": [batch]},
            **{name: {"dtype": "float32", "shape": state} for name in meta.state_map.values()},
        },
        "outputs": {
            LOGITS: {"dtype": "float32", "shape": [batch, len(meta.vocab)]},
            **{name: {"dtype": "float32", "shape": state} for name in meta.state_map},
        },
    }


def _metadata(record: RunRecord, weights: ModelWeights, saved: checkpoint.Checkpoint) -> CellMetadata:
    model, data = record.config.model, record.config.data
    nats = as_number(saved.trainer.get("progress", {}).get("val_loss"))
    sources = data.sources or ("default",)
    named = sources[0] if len(sources) == 1 and sources[0] in dataset_names() else ""
    return CellMetadata(
        cell=model.cell,
        variant={"rnn": model.nonlinearity, "gru": model.reset}.get(model.cell, ""),
        layers=model.layers,
        hidden=model.hidden,
        vocab=record.vocab,
        test=_test_vector(record, weights),
        val_bpc=round(nats / math.log(2), 4),
        data=named,
        version=__version__,
        state_map=dict(STATE_MAP[model.cell]),
    )


def _test_vector(record: RunRecord, weights: ModelWeights) -> TestVector:
    """Tokens spread over the vocabulary, and the reference's logits after them."""
    vocab: Vocabulary = record.vocab
    tokens = tuple((7 * i + 1) % len(vocab) for i in range(TEST_TOKENS))
    state = reference.zero_state(record.config.model)
    for token in tokens:
        logits, state = reference.step(record.config.model, weights, token, state)
    return TestVector(tokens, tuple(float(f"{x:.7g}") for x in logits[:TEST_LOGITS]))
