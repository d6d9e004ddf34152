"""`tuirnn export`: from a run to a cell file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import Checkpoint, Json, RunsFolder, figure, print_json
from tuirnn.errors import ConfigError, one_line
from tuirnn.runs.layout import RunPaths, find_run, runs_folder

if TYPE_CHECKING:
    from tuirnn.cellfile.cell import TrustedCell
    from tuirnn.export.network import Network
    from tuirnn.export.options import CellOptions


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn export lstm-384 -o king.onnx")(export)


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.onnx", help="Where to \\[default: ./export/cells/RUN.onnx]."),
    ] = None,
    checkpoint: Checkpoint = "best",
    precision: Annotated[
        str, typer.Option(metavar="fp32|fp16|int8|int4", help="How weights are stored; int8 is also the fastest.")
    ] = "fp32",
    max_loss_increase: Annotated[
        float, typer.Option(metavar="NATS", help="What a precision may cost on the held-out text; more is refused.")
    ] = 0.005,
    sampler: Annotated[
        bool, typer.Option("--with-sampler", help="The graph also chooses the next token: temperature, top-k, uniform.")
    ] = False,
    unroll: Annotated[int, typer.Option(metavar="N", help="N steps in one call, the sampler inside.")] = 1,
    opset: Annotated[int | None, typer.Option(metavar="N", help="ONNX opset \\[default: 13; int4 needs 21].")] = None,
    ir: Annotated[int | None, typer.Option(metavar="N", help="IR version \\[default: that of the opset].")] = None,
    static_batch: Annotated[int | None, typer.Option(metavar="N", help="Fix the batch axis.")] = None,
    c: Annotated[
        bool, typer.Option("--c", help="Also write a language model as C99 source, in a folder beside the file (fp32).")
    ] = False,
    c_prefix: Annotated[
        str | None, typer.Option(metavar="NAME", help="What names in the C source begin with \\[default: cell].")
    ] = None,
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Write one step of a trained network as a self-contained ONNX file, checked and run before it is kept."""
    from tuirnn.export.options import CellOptions

    options = CellOptions(precision, opset, ir, static_batch, sampler, unroll)
    paths = find_run(runs_folder(runs), run)
    written = write_run(paths, checkpoint, output, options, c, c_prefix, max_loss_increase)
    if as_json:
        print_json({"run": paths.name, **written.to_json()})
    else:
        print("\n".join(written.lines(paths.name)))


def write_run(
    paths: RunPaths, checkpoint: str, output: Path | None, options: "CellOptions", c: bool, c_prefix: str | None,
    max_loss_increase: float,
) -> "Written":  # fmt: skip
    """Export a run's checkpoint; the arguments are those of the command, `options` the form of the file.

    Raises:
        TuirnnError: no such checkpoint, options that do not go together, a loss that grows too much.
    """
    from tuirnn.export import c_source
    from tuirnn.export.network import read_network

    if not max_loss_increase >= 0:
        raise ConfigError(f"--max-loss-increase must be at least 0, not {max_loss_increase:g}")
    path = output or Path("export/cells") / f"{paths.name}.onnx"
    if path.suffix != ".onnx":
        raise ConfigError(f"-o takes a file name that ends in .onnx, not '{one_line(path.name, 60)}'")
    if c_prefix is not None and not c:
        raise ConfigError("--c-prefix names what is in the C source; give --c as well")
    prefix = (c_prefix or c_source.PREFIX) if c else None
    return _write(read_network(paths, checkpoint), path, options, prefix, max_loss_increase)


@dataclass(frozen=True)
class Written:
    """What an export has written.

    Attributes:
        network: that was exported.
        options: the form of the file.
        cell: the file.
        path, twin: where it is, and its metadata as JSON.
        sources: the folder of the C source; None: not asked for.
        unchecked: why the C source was not compiled; empty where it was.
    """

    network: "Network"
    options: "CellOptions"
    cell: "TrustedCell"
    path: Path
    twin: Path
    sources: Path | None
    unchecked: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        loss = self.cell.metadata.loss
        return {
            "step": self.network.step,
            "file": str(self.path),
            "metadata": str(self.twin),
            "bytes": len(self.cell.data),
            "precision": self.options.precision,
            "c": str(self.sources) if self.sources else None,
            "c_checked": not self.unchecked if self.sources else None,
            "loss": vars(loss) if loss else None,
        }

    def lines(self, run: str) -> Iterator[str]:
        """The same for people."""
        steps, task = self.options.unroll, self.network.task
        size = f"{len(self.cell.data):,} bytes, opset {self.options.opset_version}"
        what = "one step" if steps == 1 else f"{steps} steps in a call"
        yield f"{self.path}: {what} of {run} (step {self.network.step:,}), {size}"
        if loss := self.cell.metadata.loss:
            unit, counted = task.loss_in
            yield (
                f"{self.options.precision}: held-out loss {figure(loss.nats_fp32)} → {figure(loss.nats)} {unit} "
                f"({loss.nats - loss.nats_fp32:+.2g}) on {loss.tokens:,} {counted}"
            )
        yield "checked: onnx checker, ONNX Runtime against an independent reference on the test vector"
        yield f"{self.twin}: the same metadata as JSON"
        if self.sources:
            yield f"{self.sources}/: the network as C99 source; make -C {self.sources} && {self.sources}/example"
            missing = f"not checked: {self.unchecked}"
            yield missing if self.unchecked else "checked: compiled, and run on the test vector"
        yield "next: tuirnn " + (task.hint(str(self.path)) if steps == 1 else f"inspect {self.path}")


def _write(
    network: "Network", path: Path, options: "CellOptions", prefix: str | None, max_loss_increase: float
) -> Written:
    """Export a network, and write its C source beside it where a prefix for that is given."""
    from tuirnn.export import c_check, c_source
    from tuirnn.export.exporter import export_network, write_cell

    if prefix is not None:
        c_source.need_writable(network, options.precision, prefix)
    cell = export_network(network, options, max_loss_increase=max_loss_increase)
    folder, sources, unchecked = path.with_name(path.stem + "-c"), {}, ""
    if prefix is not None:
        sources = c_source.c_files(network, cell.metadata.test, prefix)
        unchecked = c_check.verify(sources)
    twin = write_cell(cell, path, {folder / name: text.encode() for name, text in sources.items()})
    return Written(network, options, cell, path, twin, folder if sources else None, unchecked)
