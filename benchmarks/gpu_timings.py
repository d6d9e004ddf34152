"""The parts of `gpu.py` that measure time: a layer against torch.nn, training steps, a whole training."""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from gpu_common import Row, arithmetic, compared, grid, one_line, trained

STARTED = time.perf_counter()

BAR_LOSS, BAR_SECONDS = 1.4697, 60.0
BAR_RATE = 1_000_000
BAR_RATIO = 1.2


def layers(options: argparse.Namespace) -> Iterator[Row]:
    """A layer forward and backward against torch.nn's, each as it is called and as a captured graph, interleaved."""
    import torch
    from torch import nn

    from tuirnn.cells import CELLS
    from tuirnn.kernels import cuda
    from tuirnn.models import RecurrentLayer
    from tuirnn.settings.model import ModelConfig

    T = 8 if options.smoke else 128
    for cell, operands, B, H in grid(options):
        row: Row = {"cell": cell, "operands": operands, "B": B, "T": T, "H": H}
        try:
            dtype = arithmetic(operands)
            in_torch, settings = CELLS[cell].in_torch or ("", {})
            theirs = getattr(nn, in_torch)(H, H, **settings).to(options.device)
            ours = RecurrentLayer(ModelConfig(**CELLS[cell].settings, hidden=H), H).to(options.device)
            with torch.no_grad():
                for name, parameter in theirs.named_parameters():
                    getattr(ours, name.removesuffix("_l0")).copy_(parameter)
            theirs = theirs.to(dtype)
            x = torch.randn(T, B, H, device=options.device, dtype=dtype, requires_grad=True)
            d, state = torch.randn(T, B, H, device=options.device), ours.zero_state(B)
            d_theirs = d.to(dtype)
            if options.device == "cuda":
                cuda.measure(ours.cell, B, H, dtype)
                case = cuda.case_of(True, ours.cell, ours.weight_hh.to(dtype), B)
                row["plans"] = [repr(cuda.plan_of(ours.cell, c)) for c in (case, case._replace(forward=False))]

            def our_pass(ours: Any = ours, x: Any = x, d: Any = d, state: Any = state, dtype: Any = dtype) -> None:
                torch.autograd.grad(ours(x, state, None, dtype)[0], [x, *ours.parameters()], d)

            def their_pass(theirs: Any = theirs, x: Any = x, d: Any = d_theirs) -> None:
                torch.autograd.grad(theirs(x)[0], [x, *theirs.parameters()], d)

            contenders: dict[str, Callable[[], object]] = {"ours": our_pass, "torch": their_pass}
            for name, go in list(contenders.items()):
                go()
                if options.device == "cuda":
                    try:
                        contenders[f"{name}, graph"] = cuda.captured(go)
                    except Exception as failure:
                        row[f"{name}, graph"] = one_line(failure)
            times = interleaved(contenders, 3 if options.smoke else 11, options.device)
            best = {who: min(t for name, t in times.items() if name.startswith(who)) for who in ("ours", "torch")}
            row |= {"ms": {name: 1000 * t for name, t in times.items()}, "ratio": best["torch"] / best["ours"]}
            row["ok"] = row["ratio"] >= BAR_RATIO
        except Exception as failure:
            row |= {"ok": False, "failure": one_line(failure)}
        yield row


def interleaved(contenders: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each, in rounds that run each once; the first round only warms."""
    import torch

    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(rounds + 1):
        for name, go in contenders.items():
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            go()
            if device == "cuda":
                torch.cuda.synchronize()
            if round_:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in times.items()}


def step(options: argparse.Namespace) -> Iterator[Row]:
    """`tuirnn train`'s own steps, 2×512, batch 256: characters a second from the 100th step on."""
    from tuirnn.cells import CELLS
    from tuirnn.training.trainer import LOG_EVERY_CUDA

    largest = max(compared(), key=lambda name: len(CELLS[name].gates))
    kinds = [(cell, "bfloat16", "on") for cell in compared()]
    for cell, dtype, mode in (
        *kinds,
        (largest, "tf32", "on"),
        (largest, "float32", "on"),
        (largest, "bfloat16", "off"),
    ):
        settings = {**CELLS[cell].settings, "dtype": dtype, "hidden": 512, "layers": 2, "embed": 128, "batch_size": 256,
                    "seq_len": 128, "steps": 400}  # fmt: skip
        if options.smoke:
            settings |= {"hidden": 16, "batch_size": 4, "seq_len": 8, "steps": 8}
        os.environ["TUIRNN_GRAPH"] = mode
        row: Row = {"cell": cell, "operands": dtype, "graph": mode == "on"}
        try:
            _, records = trained(options, **settings)
            # These are taken when the device has just been waited for, the others while it is steps behind.
            sure = [record for record in records if record["step"] % LOG_EVERY_CUDA == 1 or options.device == "cpu"]
            first, last = sure[len(sure) // 4], sure[-1]
            tokens = (last["step"] - first["step"]) * int(settings["batch_size"]) * int(settings["seq_len"])
            row["rate"] = tokens / max(last["at"] - first["at"], 1e-9)
            row["ok"] = mode == "off" or dtype == "float32" or row["rate"] >= BAR_RATE
        except Exception as failure:
            row |= {"ok": False, "failure": one_line(failure)}
        yield row
        if options.smoke:
            return
    del os.environ["TUIRNN_GRAPH"]


def shakespeare(options: argparse.Namespace) -> Iterator[Row]:
    """`tuirnn train --recipe shakespeare-gpu`: seconds to a blocks loss of 1.4697, PyTorch's import included.

    Kernels that `compile_ahead` has not met are compiled on the way.
    """
    from tuirnn.config import load_recipe

    seen = []

    def watch(event: Row) -> None:
        if event["event"] == "eval":
            seen.append((time.perf_counter() - STARTED, event["step"], event["val_loss"], event["val_loss_blocks"]))

    smaller = (
        {"hidden": 16, "embed": 8, "batch_size": 4, "seq_len": 8, "steps": 8, "eval_every": 4} if options.smoke else {}
    )
    settings = {**load_recipe("shakespeare-gpu").config.flat(), **smaller}
    if options.data is None:
        settings["sources"] = () if options.smoke else ("shakespeare",)
    trained(options, evaluate=True, report=watch, **settings)
    for seconds, step, carried, blocks in seen:
        reached = blocks <= BAR_LOSS
        if reached or step == seen[-1][1]:
            yield {"reached": reached, "seconds": seconds, "step": step, "carried": carried, "blocks": blocks,
                   "ok": reached and seconds <= BAR_SECONDS}  # fmt: skip
        if reached:
            break
    best = min(seen, key=lambda look: look[3])
    yield {"best": True, "seconds": best[0], "step": best[1], "carried": best[2], "blocks": best[3]}
