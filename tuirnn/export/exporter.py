"""From a run to a cell file that has been checked, run, and found to be right."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx

from tuirnn import __version__
from tuirnn.cellfile import guard, sidecar
from tuirnn.cellfile.card import FIGURES, Card
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import FINGERPRINT
from tuirnn.cellfile.reading import HeldOutLoss
from tuirnn.cellfile.start import Primed
from tuirnn.errors import CellFileError, ConfigError, VerificationError, one_line
from tuirnn.export import vectors
from tuirnn.export.graph import build
from tuirnn.export.network import Network, read_network
from tuirnn.export.options import CellOptions
from tuirnn.files import atomic_write_all, to_json
from tuirnn.runs.layout import RunPaths

MAX_LOSS_INCREASE = 0.005
"""What a lossy precision may cost, in the unit of the task's loss."""


def export_run(
    paths: RunPaths,
    which: str = "best",
    options: CellOptions | None = None,
    *,
    max_loss_increase: float = MAX_LOSS_INCREASE,
) -> TrustedCell:
    """As `export_network`, from a checkpoint of a run: 'best', 'last' or a step.

    Raises:
        RunError: no such checkpoint, or a damaged one.
    """
    return export_network(read_network(paths, which), options, max_loss_increase=max_loss_increase)


def export_network(
    network: Network,
    options: CellOptions | None = None,
    *,
    max_loss_increase: float = MAX_LOSS_INCREASE,
    proofs: bool = True,
) -> TrustedCell:
    """Make the cell file of a network in memory.

    Args:
        network: what is exported.
        options: the file's form.
        max_loss_increase: what a lossy precision may cost on held-out text, nats a token.
        proofs: whether it brings test lanes and a test text, for others to check it by.
    Raises:
        ConfigError: a precision that costs more.
        DataError: the held-out text that a precision is weighed on has changed or is gone.
    """
    options = options or CellOptions()
    if options.samples and not network.task.writes:
        raise ConfigError(f"{network.name} is no language model: its cell has no sampler and chooses no next token")
    if options.prime is not None and not network.task.writes:
        raise ConfigError(f"--prime is for networks that write; {network.name} {network.task.does}")
    loss = None
    if options.precision != "fp32" and network.measure is not None:
        loss = weigh(network, options.precision)
        if not loss.nats - loss.nats_fp32 <= max_loss_increase:
            raise ConfigError(
                f"--precision {options.precision} raises the held-out loss from {loss.nats_fp32:.4f} to "
                f"{loss.nats:.4f} nats, more than {max_loss_increase:g}; take another or raise --max-loss-increase"
            )
    return _make(network, options, loss=loss, proofs=proofs, primed=_primed(network, options))


def _primed(network: Network, options: CellOptions) -> Primed | None:
    """Read the prime with the network in this precision, through ONNX Runtime; all but its last token."""
    if options.prime is None:
        return None
    from tuirnn.runtime.session import CellSession

    cell = _make(network, CellOptions(precision=options.precision))
    session = CellSession(cell, device="cpu", threads=1)
    *tokens, last = network.vocab.encode(options.prime).tolist()
    session.begin()
    for token in tokens:
        session.step(token)
    names = cell.metadata.state_map.values()
    return Primed(
        options.prime,
        last,
        {
            name: [[float(f"{x:.9g}") for x in row] for row in rows[:, 0].tolist()]
            for name, rows in zip(names, session.snapshot(), strict=True)
        },
    )


def weigh(network: Network, precision: str) -> HeldOutLoss:
    """Measure a precision against float32 on the network's held-out text, through ONNX Runtime."""
    assert network.measure is not None
    cells = (_make(network, CellOptions(precision=name)) for name in (precision, "fp32"))
    (lossy, _), (exact, tokens) = map(network.measure, cells)
    return HeldOutLoss(round(lossy, 6), round(exact, 6), tokens)


def _make(
    network: Network, options: CellOptions, *, loss: HeldOutLoss | None = None, proofs: bool = False,
    primed: Primed | None = None,
) -> TrustedCell:  # fmt: skip
    metadata = replace(
        network.metadata,
        test=vectors.test_vector(network, options),
        lanes=vectors.test_lanes(network, options) if proofs else (),
        text=vectors.test_text(network, options, primed) if proofs and not options.block else None,
        primed=primed,
        card=_card(network, options),
        version=__version__,
        precision=options.precision,
        loss=loss,
        sampler=options.samples,
        unroll=options.unroll,
        block=options.block or 0,
    )
    model = build(network.config, network.weights, metadata, options)
    if options.precision == "int4" and not any(t.data_type == onnx.TensorProto.INT4 for t in model.graph.initializer):
        raise ConfigError(
            f"--precision int4 would hold no matrix of {network.name} in four bits: that takes a width that is a "
            "multiple of 16, and a product with at least 256 outputs; take --precision int8"
        )
    model.metadata_props.add(key=FINGERPRINT, value=guard.fingerprint(model))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    guard.inspect(data, network.name)
    return TrustedCell(data, metadata)


def _card(network: Network, options: CellOptions) -> Card:
    """The maker's card with the network's figures; empty where the maker says nothing."""
    if not options.card:
        return {}
    weights = network.weights
    shapes = [weights.embedding, *(part for pair in (weights.projection, weights.head) if pair for part in pair)]
    counted = sum(part.size for part in shapes if part is not None)
    counted += sum(part.size for layer in weights.layers for part in vars(layer).values())
    figures: dict[str, float | str] = {"parameters": int(counted), "step": network.step}
    if network.val_loss == network.val_loss:
        figures |= {"held-out loss": float(f"{network.val_loss:.6g}"), "unit": network.task.loss_in[0]}
    data = {"data": network.data} if network.data else {}
    return {**data, **options.card, FIGURES: figures}


def write_cell(cell: TrustedCell, path: Path, further: Mapping[Path, bytes] | None = None) -> Path:
    """Write a cell file and its sidecar beside it, after ONNX Runtime has reproduced the test vector.

    Args:
        cell: what is written.
        path: where to.
        further: files that are written with it or not at all; their folders are made.
    Returns:
        The path of the sidecar.
    Raises:
        VerificationError: ONNX Runtime disagrees with the reference; nothing is written.
        CellFileError: the folder cannot be written.
    """
    from tuirnn.runtime.known import remember
    from tuirnn.runtime.verify import verify  # onnxruntime only where a file is really written

    try:
        verify(cell, device="cpu")
    except CellFileError as error:
        raise VerificationError(f"the exported cell was not written: {error}") from None
    beside = path.with_suffix(".json")
    files = {
        path: cell.data,
        beside: to_json(sidecar.contents(cell.data, cell.metadata, guard.fixed_batch(cell)), indent=1),
        **(further or {}),
    }
    try:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_all(files)
    except OSError as error:
        raise CellFileError(f"cannot write {one_line(path)}: {error.strerror}; choose another place with -o") from None
    remember(cell.data)
    return beside
