"""Shared by the parts of `gpu.py`: the grid of comparisons, the products' types, a training in a temporary folder."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def compared() -> list[str]:
    """The gated cells that torch.nn has too."""
    from tuirnn.cells import CELLS

    return [name for name, cell in CELLS.items() if cell.in_torch and len(cell.gates) > 1]


def grid(options: argparse.Namespace) -> list[tuple[str, str, int, int]]:
    """(cell, operands, batch, hidden) of the comparison with torch.nn, the bars' first."""
    kinds = [(cell, dtype) for dtype in ("bfloat16", "tf32") for cell in compared()]
    kinds += [(compared()[0], "float32"), (compared()[0], "float16")]
    if options.smoke:
        return [(cell, "float32", 2, 16) for cell in compared()]
    return [(cell, dtype, B, H) for B in (64, 256) for H in (512, 1024, 256) for cell, dtype in kinds]


def arithmetic(operands: str) -> Any:
    """The products' dtype, after telling PyTorch whether float32 may be TF32."""
    import torch

    torch.set_float32_matmul_precision("high" if operands == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = operands == "tf32"
    return {"tf32": torch.float32}.get(operands) or getattr(torch, operands)


def one_line(error: BaseException) -> str:
    """An exception in a cell of a table."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160] if lines else ''}".replace("|", "/")


def mine(options: argparse.Namespace, cases: list[Any]) -> list[Any]:
    """This process's share of the cases."""
    return cases[options.share :: max(1, options.shares)]


def trained(
    options: argparse.Namespace, *, evaluate: bool = False, report: Callable[[Row], None] | None = None, **settings: Any
) -> tuple[list[Row], list[Row]]:
    """(events, records of the training steps) of a run in a folder that is gone afterwards."""
    from tuirnn.config import RunConfig
    from tuirnn.runs.layout import RunPaths
    from tuirnn.runs.reader import LogTail
    from tuirnn.training import launch

    events: list[Row] = []

    def note(event: Row) -> None:
        events.append(event)
        if report is not None:
            report(event)

    settings["device"] = options.device
    if options.data is not None:
        settings["sources"] = (str(options.data),)
    if not evaluate:
        settings |= {"eval_every": 10**9, "checkpoint_every": 10**9, "sample_length": 0}
    with tempfile.TemporaryDirectory() as folder:
        launch.start(RunConfig().replace(**settings), Path(folder), "bench", note)
        records = [r for r in LogTail(RunPaths(Path(folder) / "bench").metrics).read() if r["split"] == "train"]
    return events, records
