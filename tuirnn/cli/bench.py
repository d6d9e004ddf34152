"""`tuirnn bench`: training and generation timed beside PyTorch and simpler implementations."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn import processor
from tuirnn.cells import CELLS
from tuirnn.cli.options import Checkpoint, Json, RunsFolder, print_json
from tuirnn.cli.parsing import App, Group
from tuirnn.errors import ConfigError, chosen, nearest
from tuirnn.runs.layout import runs_folder
from tuirnn.shortage import TO_TRAIN, need_room

if TYPE_CHECKING:
    import torch

    from tuirnn.cellfile.cell import TrustedCell
    from tuirnn.export.network import Network
    from tuirnn.training.benchmark import Comparison

group = App(
    help="Measure training and generation on this machine.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    cls=Group,
)

KERNELS = ("native", "portable", "both")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(group, name="bench")


@group.command("train", epilog="Example: tuirnn bench train --cell lstm --shape A,B,16x200x384 --what model --profile")
def train(
    cell: Annotated[str, typer.Option(metavar="CELLS", help="Cells, with commas.")] = "lstm,gru,rnn",
    shape: Annotated[
        str,
        typer.Option(
            metavar="SHAPES",
            help="A 32×64×256, B 32×64×512, C 64×128×256, D 128×128×512, E 64×100×128, F 1×100×512 (batch × length × "
            "hidden), or other sizes such as 16x200x384.",
        ),
    ] = "A,B,C,D,E,F",
    what: Annotated[
        str, typer.Option(metavar="layer|model", help="A layer on vectors, or embedding, layer, head and loss.")
    ] = "layer",
    embed: Annotated[int, typer.Option(metavar="N", help="The model's embedding width; 0: as hidden.")] = 0,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="Type of our products: float32, bfloat16.")] = "float32",
    against: Annotated[str, typer.Option(metavar="TYPE", help="Type that PyTorch's side computes in.")] = "float32",
    kernels: Annotated[
        str,
        typer.Option(metavar="native|portable|both", help="native: compiled; portable: as without a compiler; both."),
    ] = "native",
    rounds: Annotated[int, typer.Option(metavar="N", help="Interleaved rounds; medians are shown.")] = 9,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Measure peak memory too, each in its own process.")
    ] = True,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show the parts of a model's training step by time instead.")
    ] = False,
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to compute.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Time the hand-written cells against PyTorch and against what the machine's products allow, interleaved.

    PyTorch's side is torch.nn's layer; for a cell that torch.nn lacks, it is the same definition in a Python loop under
    autograd, which is slow: such a ratio measures the cost of a loop in Python, not the quality of a library.
    """
    need_room(TO_TRAIN)
    from tuirnn.models import COMPUTE_DTYPES
    from tuirnn.training import benchmark
    from tuirnn.training.devices import pick_device

    cells, shapes = _words(cell, "--cell", CELLS), _shapes(shape, benchmark.SHAPES)
    types = tuple(name for name in COMPUTE_DTYPES if name != "tf32")  # `make bench-gpu` measures that
    what, kernels = chosen("--what", what, ("layer", "model")), chosen("--kernels", kernels, KERNELS)
    dtype, against = chosen("--dtype", dtype, types), chosen("--against", against, types)
    if not 1 <= rounds <= 10_000 or not 0 <= embed <= 100_000:
        raise ConfigError("--rounds must be from 1 to 10,000, --embed from 0 to 100,000")
    where = pick_device(chosen("--device", device, ("cpu", "cuda")))
    machine = _machine(where)
    kinds = ("native", "portable") if kernels == "both" else (kernels,)
    if profile:
        _profile(cells, shapes, embed, dtype, where.type, kinds, rounds, as_json)
        return
    compared = benchmark.compare(
        cells, shapes, rounds=rounds, what=what, embed=embed, device=where.type, dtype=dtype, against=against,
        kernels=kinds, memory=memory,
    )  # fmt: skip
    _report(compared, machine, f"{dtype} against {against}", rounds, as_json)


def _report(
    compared: "Iterator[list[Comparison]]", machine: dict[str, Any], types: str, rounds: int, quiet: bool
) -> None:
    """Print the comparisons as they are measured; with `quiet` as JSON at the end."""
    rows = []
    if not quiet:
        print(f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}, {machine['kernels']}; "
              f"{types};\nmedians of {rounds} interleaved rounds; rounds that other work disturbed are "
              "repeated\n")  # fmt: skip
        print(_line("", "", "ours ms", "torch ms", "ratio", "spread", "of mm", "of best", "of own", "MB", "torch"))
    for lines in compared:
        rows += [line.to_json() for line in lines]
        if not quiet:
            _print_lines(lines)
    if quiet:
        print_json({**machine, "rounds": rounds, "rows": rows})


def _profile(
    cells: list[str], shapes: "dict[str, tuple[int, int, int]]", embed: int, dtype: str, device: str,
    kinds: tuple[str, ...], rounds: int, quiet: bool,
) -> None:  # fmt: skip
    """Print the parts of a model's training step at each shape, largest first."""
    from tuirnn.training.contenders import Case
    from tuirnn.training.profile import profiles

    sizes = [(cell, *size) for size in shapes.values() for cell in cells]
    cases = [Case("model", cell, B, T, H, embed or H, True, dtype, device) for cell, B, T, H in sizes]
    rows = []
    for case, kind, parts in profiles(cases, kinds, rounds):
        whole = sum(parts.values())
        rows.append({**asdict(case), "kernels": kind, "seconds": whole, "parts": parts})
        if not quiet:
            size = f"{case.batch}×{case.length}×{case.hidden}, embedding {case.embed}"
            print(f"{case.cell.upper()} {size}, {kind}: a training step {whole * 1e3:.2f} ms, median of {rounds}")
            for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
                print(f"  {name:<22}{seconds * 1e3:>9.2f} ms {seconds / whole:>5.0%}")
            print(flush=True)
    if quiet:
        print_json({"rounds": rounds, "rows": rows})


def _print_lines(lines: "list[Comparison]") -> None:
    """A cell at a shape: the machine, then a line for each pass and kind of kernels."""
    from tuirnn.training.torch_layers import TORCH

    first, last = lines[0], lines[-1]
    size = f"{first.batch}×{first.length}×{first.hidden}"
    name = size if first.shape == size else f"{first.shape} {size}"
    inner = f", embedding {first.embed}" if first.what == "model" else ""
    rates, floors = (last.matrix_flops / 1e9, last.best_flops / 1e9), [line.floor * 1e3 for line in (first, last)]
    disturbed = first.disturbed + last.disturbed
    peer = "" if first.peer == TORCH else f" (torch.nn has none: against {first.peer})"
    print(f"{first.cell.upper()} {name}{inner}{peer}: mm {rates[0]:.0f}, best {rates[1]:.0f} GFLOP/s; "
          f"{first.length} products in turn {floors[0]:.2f} ms, and back {floors[1]:.2f}"
          f"{f'; {disturbed} rounds disturbed' if disturbed else ''}")  # fmt: skip
    for line in lines:
        print(_line(
            "  fwd+bwd" if line.backward else "  fwd", line.kernels, f"{line.ours * 1e3:.2f}",
            f"{line.theirs * 1e3:.2f}", f"{line.ratio:.2f}×", f"{line.low:.2f}–{line.high:.2f}", f"{line.share:.0%}",
            f"{line.share * line.matrix_flops / line.best_flops:.0%}", f"{line.products / line.ours:.0%}",
            *("" if peak is None else f"{peak / 1e6:.1f}" for peak in (line.peak, line.peak_theirs)),
        ), flush=True)  # fmt: skip


def _line(*cells: str) -> str:
    widths = (-10, -9, 9, 9, 7, 11, 7, 8, 7, 8, 8)
    return "".join(f"{cell:<{-w}}" if w < 0 else f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True)).rstrip()


def _shapes(text: str, known: "dict[str, tuple[int, int, int]]") -> "dict[str, tuple[int, int, int]]":
    """Shapes by letter, or by their sizes."""
    found = {}
    for word in _list(text, "--shape", known):
        sizes = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})[x×](\d{1,5})", word)
        if word.upper() in known:
            found[word.upper()] = known[word.upper()]
        elif sizes and all(int(size) for size in sizes.groups()):
            B, T, H = (int(size) for size in sizes.groups())
            found[f"{B}×{T}×{H}"] = (B, T, H)
        else:
            raise ConfigError(
                f"--shape '{word}' is none of {', '.join(known)}, nor batch, length and hidden as 16x200x384"
            )
    return found


def _machine(where: "torch.device") -> dict[str, Any]:
    import torch

    from tuirnn.kernels import native
    from tuirnn.training.devices import device_label

    kernels = (
        f"{processor.level()} kernels"
        if native.library() is not None
        else f"portable loop ({native.unavailable_reason()})"
    )
    device = processor.label() if where.type == "cpu" else device_label(where)
    return {"device": device, "threads": torch.get_num_threads(), "torch": torch.__version__,
            "kernels": kernels}  # fmt: skip


@group.command("cell", epilog="Example: tuirnn bench cell export/cells/demo.onnx    tuirnn bench cell --grid")
def cell(
    model: Annotated[str, typer.Argument(metavar="[RUN|FILE.onnx]", help="A run's name, or a cell file.")] = "",
    grid: Annotated[
        bool, typer.Option("--grid", help="The networks of --networks, with random weights, fp32 and int8.")
    ] = False,
    networks: Annotated[
        str, typer.Option(metavar="CELL-HIDDEN[xLAYERS],…", help="What --grid measures.")
    ] = "gru-256,lstm-512x3",
    rounds: Annotated[int, typer.Option(metavar="N", help="Interleaved rounds; medians are shown.")] = 9,
    seconds: Annotated[float, typer.Option(metavar="X", help="Seconds for each measurement of a round.")] = 0.3,
    checkpoint: Checkpoint = "best",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Time a cell file on one CPU thread, with sampling, against simpler code and the limit of memory bandwidth."""
    from tuirnn.export.exporter import export_network
    from tuirnn.export.options import CellOptions
    from tuirnn.export.random_network import random_network
    from tuirnn.loading.cell import load_cell
    from tuirnn.settings.model import ModelConfig

    if not 0 < seconds <= 600 or not 1 <= rounds <= 1000:
        raise ConfigError("--seconds must be above 0 and at most 600, --rounds from 1 to 1000")
    if bool(model) == grid:
        raise ConfigError("give a run or a cell file, or --grid")
    rows = []
    if grid:
        for kind, hidden, layers in map(_network, _list(networks, "--networks", CELLS)):
            network = random_network(ModelConfig(cell=kind, hidden=hidden, layers=layers))
            cells = {
                f"{kind.upper()}-{hidden}×{layers} {precision}": export_network(network, CellOptions(precision))
                for precision in ("fp32", "int8")
            }
            rows += _time_cells(cells, network, rounds, seconds, as_json)
    else:
        rows += _time_cells({model: load_cell(model, runs_folder(runs), checkpoint)}, None, rounds, seconds, as_json)
    if as_json:
        print_json({"processor": processor.label(), "rounds": rounds, "seconds": seconds, "rows": rows})


def _time_cells(
    cells: "dict[str, TrustedCell]", network: "Network | None", rounds: int, seconds: float, quiet: bool
) -> list[dict[str, Any]]:
    """Measure cells of one shape together with simpler implementations; prints a table unless `quiet`."""
    from contextlib import ExitStack

    from tuirnn.export.c_steps import compiled
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
            from tuirnn.training import eager, torch_layers

            definition = meta.definition
            kind = "" if definition.in_torch else f" ({torch_layers.AUTOGRAD}, torch.nn has none)"
            contenders[f"PyTorch eager{kind}: characters"] = eager.characters(
                definition, meta.hidden, meta.layers, len(meta.vocab)
            )
        except ImportError:
            pass  # generating needs no torch
        if network is not None:
            in_c = open_until_done.enter_context(compiled(network, meta.test))
            if in_c is not None:
                contenders["C cell: steps"] = in_c
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
        print(processor.label())
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


def _network(word: str) -> tuple[str, int, int]:
    """Cell, hidden width and layers of such as 'lstm-512x3'."""
    found = re.fullmatch(r"(.+)-(\d{1,5})(?:[x×](\d{1,3}))?", word)
    if found is None:
        raise ConfigError(f"--networks '{word}' is not of the form CELL-HIDDEN or CELL-HIDDENxLAYERS")
    return chosen("--networks", found[1], CELLS), int(found[2]), int(found[3] or 1)


def _words(text: str, flag: str, known: Iterable[str]) -> list[str]:
    return [chosen(flag, word, known) for word in _list(text, flag, known)]


def _list(text: str, flag: str, known: Iterable[str]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise ConfigError(f"{flag} is empty; {nearest('', known)}")
    return words
