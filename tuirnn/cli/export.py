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
        str, typer.Option(metavar="fp32|fp16|int8|int4", help="How weights are stored; see export/README.md.")
    ] = "fp32",
    max_loss_increase: Annotated[
        float, typer.Option(metavar="NATS", help="Largest increase of the held-out loss; more is refused.")
    ] = 0.005,
    sampler: Annotated[
        bool, typer.Option("--with-sampler", help="The graph also chooses the next token: temperature, top-k, uniform.")
    ] = False,
    unroll: Annotated[int, typer.Option(metavar="N", help="N steps per call, with the sampler in the graph.")] = 1,
    block: Annotated[
        int | None, typer.Option(metavar="N", help="Read N known inputs per call and return the outputs of each.")
    ] = None,
    prime: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Start every text from the state after TEXT, which is kept in the file."),
    ] = None,
    card: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=TEXT", help="Model card: description, author, licence, data, date. Repeatable."),
    ] = None,
    opset: Annotated[int | None, typer.Option(metavar="N", help="ONNX opset \\[default: 13; int4 needs 21].")] = None,
    ir: Annotated[int | None, typer.Option(metavar="N", help="IR version \\[default: that of the opset].")] = None,
    static_batch: Annotated[int | None, typer.Option(metavar="N", help="Fix the batch axis.")] = None,
    c: Annotated[
        bool,
        typer.Option("--c", help="Also write the network as C99 source, in a folder beside the file; fp32 or int8."),
    ] = False,
    c_prefix: Annotated[
        str | None, typer.Option(metavar="NAME", help="What names in the C source begin with \\[default: cell].")
    ] = None,
    as_page: Annotated[
        bool, typer.Option("--html", help="Also write one page with the network inside: it opens from a file, offline.")
    ] = False,
    wasm: Annotated[
        bool, typer.Option("--wasm", help="Also write a WebAssembly module, and an ES module around it (fp32).")
    ] = False,
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Write one step of a trained network as a self-contained ONNX file, checked and run before it is kept."""
    from tuirnn.cellfile.card import card_of
    from tuirnn.export.options import CellOptions

    options = CellOptions(precision, opset, ir, static_batch, sampler, unroll, block, prime, card_of(card or ()))
    paths = find_run(runs_folder(runs), run)
    written = write_run(paths, checkpoint, output, options, c, c_prefix, max_loss_increase, as_page=as_page, wasm=wasm)
    if as_json:
        print_json({"run": paths.name, **written.to_json()})
    else:
        print("\n".join(written.lines(paths.name)))


def write_run(
    paths: RunPaths, checkpoint: str, output: Path | None, options: "CellOptions", c: bool, c_prefix: str | None,
    max_loss_increase: float, *, as_page: bool = False, wasm: bool = False,
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
    wanted = _Wanted((c_prefix or c_source.PREFIX) if c else None, as_page, wasm)
    return _write(read_network(paths, checkpoint), path, options, wanted, max_loss_increase)


@dataclass(frozen=True)
class _Wanted:
    """What is written beside the cell file.

    Attributes:
        c: prefix of the C source; None: none.
        page: a page for browsers.
        wasm: modules for browsers.
    """

    c: str | None = None
    page: bool = False
    wasm: bool = False


@dataclass(frozen=True)
class _Beside:
    """Files beside the cell file that belong together.

    Attributes:
        kind: 'c', 'html' or 'wasm'.
        place: file or folder.
        what: it is, and what to do with it.
        files: contents by path.
        unchecked: why it was not run; empty where it was.
        checked: how it was.
    """

    kind: str
    place: Path
    what: str
    files: dict[Path, bytes]
    unchecked: str
    checked: str


@dataclass(frozen=True)
class Written:
    """What an export has written.

    Attributes:
        network: that was exported.
        options: the form of the file.
        cell: the file.
        path, sidecar: where it is, and its metadata as JSON.
        beside: what else.
    """

    network: "Network"
    options: "CellOptions"
    cell: "TrustedCell"
    path: Path
    sidecar: Path
    beside: tuple[_Beside, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        loss, beside = self.cell.metadata.loss, {each.kind: each for each in self.beside}
        values = {
            "step": self.network.step,
            "file": str(self.path),
            "metadata": str(self.sidecar),
            "bytes": len(self.cell.data),
            "precision": self.options.precision,
            "loss": vars(loss) if loss else None,
        }
        for kind in ("c", "html", "wasm"):
            each = beside.get(kind)
            values |= {kind: str(each.place) if each else None, f"{kind}_checked": not each.unchecked if each else None}
        return values

    def lines(self, run: str) -> Iterator[str]:
        """The same for people."""
        steps, task = self.options.steps, self.network.task
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
        yield f"{self.sidecar}: the same metadata as JSON"
        for each in self.beside:
            yield f"{each.place}{'/' if each.kind == 'c' else ''}: {each.what}"
            yield f"not checked: {each.unchecked}" if each.unchecked else f"checked: {each.checked}"
        yield "next: tuirnn " + (task.hint(str(self.path)) if steps == 1 else f"inspect {self.path}")


def _write(
    network: "Network", path: Path, options: "CellOptions", wanted: _Wanted, max_loss_increase: float
) -> Written:
    """Export a network, and write beside it what is wanted."""
    from tuirnn.export import c_source
    from tuirnn.export.exporter import export_network, write_cell

    if wanted.c is not None:
        c_source.need_writable(network, options.precision, wanted.c)
    cell = export_network(network, options, max_loss_increase=max_loss_increase)
    beside = (*_c_source(network, cell, path, wanted), *_for_browsers(network, cell, path, options, wanted))
    sidecar = write_cell(cell, path, {file: data for each in beside for file, data in each.files.items()})
    return Written(network, options, cell, path, sidecar, beside)


def _c_source(network: "Network", cell: "TrustedCell", path: Path, wanted: _Wanted) -> Iterator[_Beside]:
    from tuirnn.export import c_check, c_source

    if wanted.c is not None:
        folder, sources = (
            path.with_name(path.stem + "-c"),
            c_source.c_files(network, cell.metadata.test, wanted.c, cell.metadata.precision, cell.metadata.primed),
        )
        files = {folder / name: text.encode() for name, text in sources.items()}
        what = f"the network as C99 source; make -C {folder} && {folder}/example"
        yield _Beside("c", folder, what, files, c_check.verify(sources), "compiled, and run on the test vector")


def _for_browsers(
    network: "Network", cell: "TrustedCell", path: Path, options: "CellOptions", wanted: _Wanted
) -> Iterator[_Beside]:
    """The page and the modules: always a single step in fp32, whatever the form of the file."""
    from tuirnn.export import webpage
    from tuirnn.export.exporter import export_network

    if not (wanted.page or wanted.wasm):
        return
    form = type(options)(prime=options.prime)
    plain = cell if options == form else export_network(network, form)
    unchecked = webpage.check(webpage.module_files(network, plain, "network"))
    checked = "run in Node on the test vector"
    if wanted.page:
        file, data = path.with_suffix(".html"), webpage.web_page(network, plain)
        what = f"a page with the network inside, {len(data):,} bytes; open it in a browser"
        yield _Beside("html", file, what, {file: data}, unchecked, checked)
    if wanted.wasm:
        files = {path.with_name(name): data for name, data in webpage.module_files(network, plain, path.stem).items()}
        place = path.with_suffix(".wasm")
        what = f"the network as WebAssembly; import {{ open }} from './{path.stem}.mjs'"
        yield _Beside("wasm", place, what, files, unchecked, checked)
