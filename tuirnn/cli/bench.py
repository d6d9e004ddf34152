"""`tuirnn bench`: how fast is it here, beside the libraries."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import Checkpoint, Json, RunsFolder, print_json
from tuirnn.errors import ConfigError, nearest
from tuirnn.runs.layout import runs_folder

if TYPE_CHECKING:
    from tuirnn.cellfile.guard import TrustedCell
    from tuirnn.export.network import Network

group = typer.Typer(help="Measure training and generation on this machine.", no_args_is_help=True,
                    rich_markup_mode="rich")  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(group, name="bench")


@group.command("train", epilog="Example: tuirnn bench train --cell lstm --shape A,B --what model")
def train(
    cell: Annotated[str, typer.Option(metavar="CELLS", help="Cells, with commas.")] = "lstm,gru,rnn",
    shape: Annotated[
        str,
        typer.Option(
            metavar="SHAPES",
            help="A 32×64×256, B 32×64×512, C 64×128×256, D 128×128×512, "
            "E 64×100×128, F 1×100×512 (batch × length × hidden).",
        ),
    ] = "A,B,C,D,E,F",
    what: Annotated[
        str, typer.Option(metavar="layer|model", help="A layer on vectors, or embedding, layer, head and loss.")
    ] = "layer",
    embed: Annotated[int, typer.Option(metavar="N", help="The model's embedding width; 0: as hidden.")] = 0,
    rounds: Annotated[int, typer.Option(metavar="N", help="Interleaved rounds; medians are shown.")] = 9,
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to compute.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Time the hand-written cells against torch.nn, interleaved, with the spread over the rounds."""
    import torch

    from tuirnn.kernels import native
    from tuirnn.training import benchmark
    from tuirnn.training.devices import device_label, keep_freed_memory, pick_device

    cells = _words(cell, "--cell", benchmark.TORCH_LAYERS)
    shapes = _words(shape, "--shape", benchmark.SHAPES)
    if what not in ("layer", "model"):
        raise ConfigError(f"--what takes layer or model, not '{what}'")
    if rounds < 1 or embed < 0:
        raise ConfigError("--rounds must be at least 1, --embed at least 0")
    keep_freed_memory()
    where = pick_device(device)
    rate = benchmark.matrix_rate()
    if not as_json:
        kernels = "native kernels" if native.library() is not None else f"portable loop ({native.why_not()})"
        print(f"{device_label(where)}, {torch.get_num_threads()} threads, torch {torch.__version__}, {kernels}; "
              f"torch.mm {rate / 1e9:.0f} GFLOP/s; medians of {rounds} interleaved rounds")  # fmt: skip
        print(f"{'':<6} {'cell':<5} {'shape':<15} {'pass':<9} {'ours ms':>9} {'torch ms':>9} {'ratio':>6} "
              f"{'spread':>12} {'of mm':>6}")  # fmt: skip
    rows = []
    for row in benchmark.compare(cells, shapes, rounds=rounds, what=what, embed=embed, device=where.type):
        rows.append(row.to_json())
        if not as_json:
            size = f"{row.shape} {row.batch}×{row.length}×{row.hidden}"
            print(f"{row.what:<6} {row.cell:<5} {size:<15} {'fwd+bwd' if row.backward else 'fwd':<9} "
                  f"{row.ours * 1e3:>9.2f} {row.theirs * 1e3:>9.2f} {row.ratio:>5.2f}× "
                  f"{row.low:>5.2f}–{row.high:<5.2f} {row.share:>6.0%}", flush=True)  # fmt: skip
    if as_json:
        print_json({"device": device_label(where), "threads": torch.get_num_threads(), "torch": torch.__version__,
                    "matrix_flops": rate, "rounds": rounds, "rows": rows})  # fmt: skip


@group.command("cell", epilog="Example: tuirnn bench cell export/cells/demo.onnx    tuirnn bench cell --grid")
def cell(
    model: Annotated[str, typer.Argument(metavar="[RUN|FILE.onnx]", help="A run's name, or a cell file.")] = "",
    grid: Annotated[
        bool, typer.Option("--grid", help="GRU-256 and LSTM-512×3 with random weights, fp32 and int8.")
    ] = False,
    rounds: Annotated[int, typer.Option(metavar="N", help="Interleaved rounds; medians are shown.")] = 9,
    seconds: Annotated[float, typer.Option(metavar="X", help="How long to measure each in a round.")] = 0.3,
    checkpoint: Checkpoint = "best",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Time a cell on one CPU thread, sampling included, beside plainer ways and the limit that memory sets."""
    from tuirnn.config import ModelConfig
    from tuirnn.export.exporter import export_network
    from tuirnn.export.options import CellOptions
    from tuirnn.export.random_network import random_network
    from tuirnn.runtime.opening import open_cell

    if not 0 < seconds <= 600 or not 1 <= rounds <= 1000:
        raise ConfigError("--seconds must be above 0 and at most 600, --rounds from 1 to 1000")
    if bool(model) == grid:
        raise ConfigError("give a run or a cell file, or --grid")
    rows = []
    if grid:
        for kind, hidden, layers in (("gru", 256, 1), ("lstm", 512, 3)):
            network = random_network(ModelConfig(cell=kind, hidden=hidden, layers=layers))
            cells = {
                f"{kind.upper()}-{hidden}×{layers} {precision}": export_network(network, CellOptions(precision)).trusted
                for precision in ("fp32", "int8")
            }
            rows += _time_cells(cells, network, rounds, seconds, as_json)
    else:
        rows += _time_cells({model: open_cell(model, runs_folder(runs), checkpoint)}, None, rounds, seconds, as_json)
    if as_json:
        print_json({"rounds": rounds, "seconds": seconds, "rows": rows})


def _time_cells(
    cells: "dict[str, TrustedCell]", network: "Network | None", rounds: int, seconds: float, quiet: bool
) -> list[dict[str, Any]]:
    """Measure cells of one shape together with the plainer ways; prints a table unless `quiet`."""
    from contextlib import ExitStack

    from tuirnn.runtime import benchmark
    from tuirnn.runtime.session import CellSession

    first = next(iter(cells.values()))
    meta = first.metadata
    with ExitStack() as open_until_done:
        contenders: dict[str, benchmark.Burst] = {}
        for name, cell in cells.items():
            session = CellSession(cell, device="cpu", threads=1)
            contenders[f"{name}: steps"] = benchmark.steps(session)
            contenders[f"{name}: characters"] = benchmark.characters(session)
        contenders["naive session.run and numpy: characters"] = benchmark.naive(first)
        try:
            from tuirnn.training import eager

            contenders["PyTorch eager: characters"] = eager.characters(
                meta.cell, meta.hidden, meta.layers, len(meta.vocab)
            )
        except ImportError:
            pass  # generating needs no torch
        if network is not None:
            compiled = open_until_done.enter_context(benchmark.compiled(network, meta.test))
            if compiled is not None:
                contenders["C cell: steps"] = compiled
        rates = benchmark.interleaved(contenders, rounds=rounds, seconds=seconds)
    memory = benchmark.bandwidth(benchmark.MEMORY)
    rows: list[dict[str, Any]] = []
    for name, rate in rates.items():
        row: dict[str, Any] = {"what": name, "per_s": rate.median, "best_per_s": rate.best}
        used = first if name.startswith("C ") else cells.get(name.rpartition(":")[0])
        if used is not None:
            read = benchmark.bytes_of_a_step(used)
            row |= {"bytes": read, "memory": memory, "limit_per_s": memory / read, "share": rate.median * read / memory,
                    "in_place": benchmark.bandwidth(read)}  # fmt: skip
        rows.append(row)
    if not quiet:
        print(f"one thread, medians of {rounds} interleaved rounds; memory reads {memory / 1e9:.1f} GB/s here")
        print(f"{'':<42} {'/s':>9} {'best':>9} {'MB a step':>10} {'limit /s':>9} {'share':>6} {'cached GB/s':>12}")
        for row in rows:
            print(f"{row['what']:<42} {row['per_s']:>9,.0f} {row['best_per_s']:>9,.0f}", end="")
            if "bytes" in row:
                print(f" {row['bytes'] / 1e6:>10.2f} {row['limit_per_s']:>9,.0f} {row['share']:>6.0%} "
                      f"{row['in_place'] / 1e9:>12.1f}", end="")  # fmt: skip
            print(flush=True)
        print()
    return rows


def _words(text: str, flag: str, known: Iterable[str]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise ConfigError(f"{flag} '{word}' is unknown; {nearest(word, known)}")
    if not words:
        raise ConfigError(f"{flag} is empty; {nearest('', known)}")
    return words
