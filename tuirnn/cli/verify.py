"""`tuirnn verify` and `tuirnn doctor`: checks of the mathematics and of this machine."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tuirnn import processor
from tuirnn.cells import CELLS, Cell
from tuirnn.cli.options import Json, RunsFolder, print_json
from tuirnn.errors import ConfigError, VerificationError, nearest, one_line
from tuirnn.runs.layout import find_run, runs_folder
from tuirnn.shortage import TO_TRAIN, need_room

SMALL = {
    "hidden": 64,
    "embed": 16,
    "fraction": 0.05,
    "steps": 40,
    "eval_every": 40,
    "sample_length": 0,
    "device": "cpu",
}
DRIFT_STEPS, DRIFT_GREEDY = 2_000, 300


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: tuirnn verify lstm-384")(verify)
    app.command(epilog="Example: tuirnn doctor")(doctor)


def verify(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Compare this run's cell with PyTorch on 10,000 steps.")
    ] = None,
    cell: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check this cell alone; see 'tuirnn cells'.", show_default=False)
    ] = None,
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Check gradients against finite differences and torch.nn, and ONNX against PyTorch.

    A cell that torch.nn lacks is compared with its own forward step under PyTorch's autograd.
    """
    need_room(TO_TRAIN)
    if cell is not None and cell not in CELLS:
        raise ConfigError(f"there is no cell '{one_line(cell, 60)}'; {nearest(cell, CELLS)}")
    rows = _run_rows(run, runs_folder(runs)) if run else _all_rows([cell] if cell else list(CELLS))
    done = []
    for row in rows:
        done.append(row)
        if not as_json:
            mark = "ok  " if row["ok"] else "FAIL"
            print(f"{mark} {row['what']:<44} {row['subject']:<34} {row['figure']:<12} {row['bound']}", flush=True)
    if as_json:
        print_json(done)
    wrong = [row["subject"] for row in done if not row["ok"]]
    if wrong:
        raise VerificationError(f"{len(wrong)} of {len(done)} checks failed: {', '.join(wrong)}")
    if not as_json:
        print(f"{len(done)} checks, all within bounds")


def _all_rows(cells: list[str]) -> Iterator[dict[str, Any]]:
    from tuirnn.training import verification
    from tuirnn.training.torch_layers import peer_kind

    for case in verification.cases(cells):
        error = verification.finite_difference_error(verification.trial(case))
        yield _row("gradient, finite differences, float64", case.label, error, verification.FINITE_DIFFERENCE_BOUND)
        difference = verification.torch_difference(case, verification.trial(case))
        against = f"outputs, states, gradients, {peer_kind(CELLS[case.cell])}"
        yield _row(against, case.label, difference, verification.TORCH_BOUND)
    with tempfile.TemporaryDirectory() as folder:
        for name in cells:
            for layers in (1, 3):
                yield from _small_run_rows(Path(folder), CELLS[name], layers)


def _small_run_rows(folder: Path, cell: Cell, layers: int) -> Iterator[dict[str, Any]]:
    from tuirnn.config import RunConfig
    from tuirnn.training import launch

    name = f"{cell.name}-{layers}"
    config = RunConfig().replace(layers=layers, **cell.settings, **SMALL)
    launch.start(config, folder, name, lambda event: None)
    yield from _run_rows(name, folder, steps=DRIFT_STEPS, greedy=DRIFT_GREEDY)


def _run_rows(run: str, folder: Path, *, steps: int = 10_000, greedy: int = 1_000) -> Iterator[dict[str, Any]]:
    from tuirnn import drift

    found = drift.measure(find_run(folder, run), steps=steps, greedy=greedy)
    yield _row(f"ONNX logits, {steps:,} carried steps", run, found.worst, found.bound)
    yield {
        "what": f"ONNX greedy text, {greedy:,} tokens",
        "subject": run,
        "figure": f"{found.greedy:,} equal",
        "bound": f"= {greedy:,}",
        "ok": found.greedy == greedy,
    }


def _row(what: str, subject: str, figure: float, bound: float) -> dict[str, Any]:
    return {
        "what": what,
        "subject": subject,
        "figure": f"{figure:.1e}",
        "bound": f"≤ {bound:.2g}",
        "ok": figure <= bound,
    }


def doctor(runs: RunsFolder = None, as_json: Json = False) -> None:
    """Print what this machine has, what is missing, and how to install it."""
    rows = list(_findings(runs_folder(runs)))
    if as_json:
        print_json([dict(zip(("ok", "what", "found", "remedy"), row, strict=True)) for row in rows])
        return
    for ok, what, found, remedy in rows:
        print(f"{'✓' if ok else '·'} {what:<16} {found}" + (f"\n{'':<18} → {remedy}" if remedy else ""))


def _findings(folder: Path) -> Iterator[tuple[bool, str, str, str]]:
    yield True, "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", ""
    yield True, "processor", f"{os.cpu_count()} cores, {processor.label()}", ""
    yield from _torch_findings()
    yield from _runtime_findings()
    yield from _terminal_findings()
    from tuirnn.tasks.datasets import DATASETS, cache_folder

    here = [name for name, dataset in DATASETS.items() if (cache_folder() / dataset.file).exists()]
    yield True, "data", f"{cache_folder()}: {', '.join(here) or 'nothing yet'}", ""
    target = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = os.access(target, os.W_OK)
    free = shutil.disk_usage(target).free / 2**30
    yield writable, "runs", f"{folder}, {free:.1f} GiB free", "" if writable else "choose a folder with --runs"


def _torch_findings() -> Iterator[tuple[bool, str, str, str]]:
    try:
        import torch
    except ImportError:
        yield False, "torch", "missing; watching and generating work, training does not", "pip install torch"
        return
    yield True, "torch", f"{torch.__version__}, {torch.get_num_threads()} threads", ""
    if torch.cuda.is_available():
        yield True, "cuda", torch.cuda.get_device_name(), ""
    else:
        remedy = "" if torch.version.cuda else "for an NVIDIA GPU, install a CUDA build of PyTorch"
        yield False, "cuda", "none; training runs on the CPU", remedy
    from tuirnn.compiling import compiler
    from tuirnn.kernels import native

    library = native.library()
    if library is not None:
        vectors = f"{processor.level()}, {library['tuirnn_lanes']()} lanes"
        yield True, "kernels", f"native, {vectors}, by {compiler('c++')}", ""
    else:
        yield (
            False,
            "kernels",
            f"portable: {native.unavailable_reason()}",
            "training is 1.3 to 2 times faster with a C++ compiler",
        )


def _runtime_findings() -> Iterator[tuple[bool, str, str, str]]:
    import onnx
    import onnxruntime

    from tuirnn.runtime.session import cuda_is_there

    yield True, "onnx", onnx.__version__, ""
    where = "CPU and CUDA" if cuda_is_there() else "CPU"
    yield True, "onnxruntime", f"{onnxruntime.__version__}, generates on {where}", ""


def _terminal_findings() -> Iterator[tuple[bool, str, str, str]]:
    size = shutil.get_terminal_size()
    fits = size.columns >= 80 and size.lines >= 24
    yield (
        fits,
        "terminal",
        f"{size.columns}×{size.lines}, {os.environ.get('TERM', 'unknown')}",
        ("" if fits else "the dashboard needs 80×24 or more"),
    )
    encoding = (sys.stdout.encoding or "").lower()
    utf8 = encoding.replace("-", "") == "utf8"
    yield utf8, "encoding", encoding or "unknown", "" if utf8 else "set LANG to a UTF-8 locale to see braille charts"
