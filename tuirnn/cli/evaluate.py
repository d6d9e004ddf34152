"""`tuirnn eval` and `tuirnn inspect`: how good a network is, and what is in a cell file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn import shipped
from tuirnn.cli.options import (
    Checkpoint,
    Decimal,
    Delimiter,
    Device,
    Encoding,
    Json,
    Missing,
    Model,
    NoHeader,
    RunsFolder,
    figure,
    print_json,
    print_json_pretty,
    said_of_file,
)  # fmt: skip
from tuirnn.errors import ConfigError, one_line
from tuirnn.runs.layout import runs_folder

if TYPE_CHECKING:
    from tuirnn.cellfile.contract import CellMetadata


MAX_ORIGINS = 100_000


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("eval", epilog="Example: tuirnn eval king.onnx --text play.txt")(evaluate)
    app.command(epilog="Example: tuirnn inspect king.onnx")(inspect)


def evaluate(
    model: Model,
    text: Annotated[
        str | None, typer.Option(metavar="FILE", help="Text, or table, to measure on \\[default: the held-out split].")
    ] = None,
    delimiter: Delimiter = "",
    decimal: Decimal = "auto",
    no_header: NoHeader = False,
    missing: Missing = "",
    encoding: Encoding = "",
    origins: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Number of points from which a forecaster's roll-outs begin, at most \\[default: 32]."
        ),
    ] = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Measure a network on held-out data of its task, or on a text or table of yours."""
    from tuirnn.loading.cell import load_cell
    from tuirnn.runtime.data import measured_on
    from tuirnn.runtime.opened import opened

    folder = runs_folder(runs)
    cell = load_cell(model, folder, checkpoint)
    said = said_of_file(delimiter=delimiter, decimal=decimal, encoding=encoding, no_header=no_header, missing=missing)
    if origins is not None and not cell.metadata.learned.points:
        raise ConfigError(f"--origins is for forecasters; {one_line(model)} is a {cell.metadata.learned.noun}")
    if origins is not None and not 1 <= origins <= MAX_ORIGINS:
        raise ConfigError(f"--origins must be from 1 to {MAX_ORIGINS:,}, not {origins}")
    held = measured_on(model, folder, cell.metadata, text, said, origins or 32)
    report = cell.metadata.learned.evaluate(opened(cell, model, device), held)
    if as_json:
        print_json({"model": model, **report.values})
        return
    for note in report.notes:
        print(f"tuirnn: {note}", file=sys.stderr)
    print("\n".join(report.lines))


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="A cell file.")],
    as_json: Json = False,
) -> None:
    """Print a cell file's metadata, and verify the file against its own test vectors and the JSON beside it."""
    import onnx

    from tuirnn.cellfile import guard, sidecar
    from tuirnn.runtime.admission import open_file
    from tuirnn.runtime.verify import verify

    file = shipped.cell_path(str(file))
    cell = open_file(file)
    provider = verify(cell, device="cpu")
    model = onnx.ModelProto.FromString(cell.data)
    batch = guard.fixed_batch(cell)
    properties = {prop.key: prop.value for prop in model.metadata_props}
    beside = sidecar.check(file.with_suffix(".json"), cell.data, properties, cell.metadata, batch)
    values = {
        "file": file.name,
        "bytes": len(cell.data),
        "opset": model.opset_import[0].version,
        "ir": model.ir_version,
        "nodes": len(model.graph.node),
        "parameters": sum(int(_size(t.dims)) for t in model.graph.initializer if t.data_type != onnx.TensorProto.INT64),
        "operators": sorted({node.op_type for node in model.graph.node}),
        **sidecar.contents(cell.data, cell.metadata, batch),
        "sidecar": beside,
        "verified": True,
        "provider": provider,
    }
    if as_json:
        print_json_pretty(values)
        return
    for key, value in _shown(values, cell.metadata, beside).items():
        print(
            f"{key:<20} {value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{key:<20} {value}"
        )


def _shown(values: dict[str, Any], metadata: "CellMetadata", beside: str | None) -> dict[str, Any]:
    """The same values, each on one line."""
    values = dict(values)
    vocab, test = metadata.vocab, metadata.test
    if scaling := metadata.scaling:
        columns = zip(scaling.columns, scaling.mean, scaling.std, strict=True)
        values["tuirnn.normalisation"] = one_line(", ".join(f"{name} {m:.4g} ± {s:.4g}" for name, m, s in columns), 200)
        if known := metadata.calibration:
            values["tuirnn.calibration"] = (
                f"season {known.season}; one step by {_counted(known.one_step)}, further by {_counted(known.rollout)}; "
                f"intervals up to {known.steps[-1]} steps ahead"
            )
        values["tuirnn.test_lanes"] = f"{len(metadata.lanes)} sequences"
        back = metadata.look_back
        values["tuirnn.look_back"] = f"{back} points from a zero state" if back else "0: carry the state"
        values["tuirnn.test_vector"] = f"{len(test.inputs)} points, {len(test.outputs)} columns"
    else:
        values["tuirnn.vocab"] = f"{len(vocab)} {vocab.kind} tokens: " + one_line("".join(vocab.symbols), 70)
        values["tuirnn.test_vector"] = f"{len(test.inputs)} tokens, {len(test.outputs)} logits"
    if metadata.classes:
        values["tuirnn.classes"] = one_line(", ".join(metadata.classes), 200)
    for side in ("inputs", "outputs"):
        values[side] = ", ".join(
            f"{name} {io['dtype']}{io['shape']}".replace("'", "") for name, io in values[side].items()
        )
    if loss := metadata.loss:
        unit, counted = metadata.learned.loss_in
        values["tuirnn.loss"] = (
            f"{figure(loss.nats)} {unit}; {figure(loss.nats_fp32)} in fp32, on {loss.tokens:,} held-out {counted}"
        )
    if card := values.pop("tuirnn.card", {}):
        figures = ", ".join(f"{name} {value}" for name, value in card.pop("figures", {}).items())
        values |= {f"card: {key}": one_line(text, 200) for key, text in card.items()}
        values |= {"card: figures": one_line(figures, 200)} if figures else {}
    if metadata.primed:
        values["tuirnn.state_init"] = "where the prime ends"
        values["tuirnn.prime"] = one_line(metadata.primed.text, 70)
    if metadata.sampler:
        values["tuirnn.sampler"] = ", ".join(values["tuirnn.sampler"])
    values["tuirnn.state_map"] = ", ".join(f"{out} → {into}" for out, into in metadata.state_map.items())
    values["operators"] = " ".join(values["operators"])
    values["sidecar"] = beside or "none"
    values["verified"] = "yes: ONNX Runtime reproduces the test vectors"
    return values


def _counted(methods: tuple[str, ...]) -> str:
    """What forecasts the columns, and how many of them where that differs."""
    kinds = list(dict.fromkeys(methods))
    return ", ".join(f"{kind} ({methods.count(kind)})" if len(kinds) > 1 else kind for kind in kinds)


def _size(dims: Any) -> int:
    size = 1
    for dim in dims:
        size *= dim
    return size
