"""`tuirnn bench`: how fast is it here, beside the libraries."""

import time
from collections.abc import Iterable
from typing import Annotated

import typer

from tuirnn.cli.options import Checkpoint, Json, Model, RunsFolder, print_json
from tuirnn.errors import ConfigError, nearest
from tuirnn.runs.layout import runs_folder

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


@group.command("cell", epilog="Example: tuirnn bench cell export/cells/demo.onnx")
def cell(
    model: Model,
    seconds: Annotated[float, typer.Option(metavar="X", help="How long to measure each.")] = 2.0,
    checkpoint: Checkpoint = "best",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Time a cell in ONNX Runtime: bare steps, and characters with sampling."""
    from tuirnn.runtime.generate import TextWriter
    from tuirnn.runtime.opening import open_cell
    from tuirnn.runtime.samplers import Sampling
    from tuirnn.runtime.session import CellSession

    if not 0 < seconds <= 600:
        raise ConfigError(f"--seconds must be above 0 and at most 600, not {seconds:g}")
    opened = open_cell(model, runs_folder(runs), checkpoint)
    session = CellSession(opened)
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for _ in range(100):
            session.step(1)
        count += 100
    steps = count / spent
    writer, count, began = TextWriter(session), 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        count += sum(1 for _ in writer.stream(Sampling(), 500))
    values = {"model": model, "bytes": len(opened.data), "provider": session.provider, "steps_per_s": steps,
              "characters_per_s": count / spent, "bytes_per_s": steps * len(opened.data)}  # fmt: skip
    if as_json:
        print_json(values)
        return
    print(f"{model}: {len(opened.data):,} bytes on {session.provider}")
    print(f"steps        {steps:>12,.0f} /s   ({steps * len(opened.data) / 1e9:.1f} GB/s of weights)")
    print(f"characters   {values['characters_per_s']:>12,.0f} /s   sampling included")


def _words(text: str, flag: str, known: Iterable[str]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise ConfigError(f"{flag} '{word}' is unknown; {nearest(word, known)}")
    if not words:
        raise ConfigError(f"{flag} is empty; {nearest('', known)}")
    return words
