"""What `gpu.py` finds out, part by part: each yields rows of plain values, as soon as it knows them."""

import argparse
import contextlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

Row = dict[str, Any]

BAR_LOSS, BAR_SECONDS = 1.4697, 60.0
BAR_RATE = 1_000_000
BAR_RATIO = 1.2

BOUNDS = {"float32": 2e-5, "tf32": 5e-3, "float16": 5e-3, "bfloat16": 4e-2}
"""Largest ‖ours − exact‖ / ‖exact‖ of any result, by the type of the products' operands."""


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


def compile_ahead(options: argparse.Namespace) -> Iterator[Row]:
    """Compile every plan of `layers`, in many processes at once, so that the rest does not wait for the compiler."""
    import torch

    from tuirnn.cells import CELLS
    from tuirnn.codegen.trace import traced
    from tuirnn.kernels import cuda
    from tuirnn.kernels.cache import Recurrent
    from tuirnn.kernels.plans import CUBLAS, candidates

    for cell, operands, B, H in mine(options, grid(options)):
        dtype = arithmetic(operands)
        made = traced(CELLS[cell])
        W = torch.zeros(made.R * H, H, device="cuda", dtype=dtype)
        if not cuda.runs(made, W, dtype):
            return
        gx = torch.zeros(2, B, made.G * H, device="cuda", dtype=dtype)
        weights = Recurrent(W, torch.zeros(len(W), device="cuda"), torch.zeros(len(made.vectors), H, device="cuda"))
        state = tuple(torch.zeros(B, H, device="cuda") for _ in made.state)
        for forward in (True, False):
            for plan in candidates(made, cuda.case_of(forward, made, W, B), cuda.processors()):
                with contextlib.suppress(Exception):  # `layers` meets it again, and says so
                    trace = cuda.forward_by(plan if forward else CUBLAS, made, gx, weights, state)
                    if not forward:
                        cuda.backward_by(plan, made, trace, weights, gx[..., :H].float(), state)
    yield {"share": options.share, "done": True}


def correctness(options: argparse.Namespace) -> Iterator[Row]:
    """Each cell, each way of running it, against its definition in float64; twice, to the same bits."""
    from tuirnn.cells import CELLS
    from tuirnn.codegen.trace import traced
    from tuirnn.kernels import cuda

    shapes = [(3, 5, 17)] if options.smoke else [(7, 5, 17), (33, 64, 256), (12, 256, 512), (9, 64, 1024)]
    kinds = ["float32"] if options.smoke else list(BOUNDS)
    for (T, B, H), operands, name in mine(options, list(itertools.product(shapes, kinds, CELLS))):
        if name not in compared() and (operands in ("tf32", "float16") or H > 256):
            continue
        made, dtype = traced(CELLS[name]), arithmetic(operands)
        for kind, forward, backward in ways(made, operands, B, H, options):
            if H > 17 and not kind.startswith(("persistent", "portable")):
                continue
            row: Row = {"cell": name, "operands": operands, "T": T, "B": B, "H": H, "way": kind}
            try:
                error, same = disagreement(made, dtype, T, B, H, forward, backward, options.device)
                row |= {"error": error, "same": same, "ok": same and error <= BOUNDS[operands]}
            except Exception as failure:
                row |= {"ok": False, "failure": one_line(failure)}
            yield row
    if options.device == "cuda":
        yield {"missing": cuda.why_not()}


def ways(made: Any, operands: str, B: int, H: int, options: argparse.Namespace) -> Iterator[tuple[str, Any, Any]]:
    """(name, forward, backward) of each way to run a cell here."""
    from tuirnn.kernels import cuda, portable
    from tuirnn.kernels.plans import CUBLAS, Case, candidates

    interpreted = options.device == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    if cuda.kernels(made)[0] is None or (options.device == "cpu" and not interpreted):
        yield "portable", portable.forward, portable.backward
        return
    plans: dict[str, list[Any]] = {}
    for forward in (True, False):
        case = Case(forward, made.name, B, H, operands)
        for plan in candidates(made, case, cuda.processors()):
            kind = "persistent" if plan.persistent else "a launch a product" if plan.product else "cuBLAS and phases"
            other = CUBLAS if made.stages else plan
            pair = plans.setdefault(kind + ", W resident" * plan.resident, [other, other])
            if pair[not forward] is CUBLAS:
                pair[not forward] = plan
    for kind, (there, back) in plans.items():
        if not (interpreted and made.stages and kind.startswith("persistent")):
            yield kind, partial(cuda.forward_by, there), partial(cuda.backward_by, back)


def disagreement(made: Any, dtype: Any, T: int, B: int, H: int, forward: Any, backward: Any, device: str) -> Any:
    """(largest relative distance of any result from float64, whether a second run gives the same bits)."""
    import torch

    from tuirnn.kernels import eager
    from tuirnn.kernels.cache import Recurrent

    torch.manual_seed(T * B + H)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, device=device)

    rows = made.R * H
    gx, W, bias = normal(T, B, made.G * H).to(dtype), (normal(rows, H) / H**0.5).to(dtype), normal(rows)
    vectors = normal(len(made.vectors), H)
    state = (normal(B, H), *(normal(B, H).abs() for _ in made.state[1:]))  # a normaliser must not be 0
    dh_all = normal(T, B, H) / T
    dlast = tuple(normal(B, H) for _ in made.state)

    def results(there: Any, back: Any, exact: bool) -> list[Any]:
        def cast(tensor: Any) -> Any:
            return tensor.double() if exact else tensor.clone()

        poison = torch.full((4, T + 1, B, made.G * H), float("nan"), device=device)
        del poison  # what is not written shows
        weights = Recurrent(cast(W), cast(bias), cast(vectors))
        trace = there(made, cast(gx), weights, tuple(map(cast, state)))
        trace.observed = True
        kept = [trace.a.clone()] if made.keeps_gates else []
        kept += [trace.saved.clone()] if made.extra_width else []
        d = back(made, trace, weights, cast(dh_all), tuple(map(cast, dlast)))
        recurrent = zip(made.gates, d.gates.chunk(made.G, -1), strict=True)
        kept += [rows for gate, rows in recurrent if gate in made.recurrent]
        kept += [d.vectors] if made.vectors else []
        return [*kept, *trace.states, d.x, *d.state, trace.dh_norm]

    exact, ours, again = (
        results(eager.forward, eager.backward, True),
        results(forward, backward, False),
        results(forward, backward, False),
    )
    errors = [float((a.double() - b).norm() / b.norm().clamp_min(1e-30)) for a, b in zip(ours, exact, strict=True)]
    worst = max(errors) if all(error == error for error in errors) else float("nan")
    return worst, all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))


def layer_gradients(options: argparse.Namespace) -> Iterator[Row]:
    """A whole layer, on vectors and on tokens: outputs and all gradients against the same in float64."""
    import torch

    from tuirnn.cells import CELLS
    from tuirnn.config import ModelConfig
    from tuirnn.models import RecurrentLayer

    T, B, E, H, V = (4, 3, 6, 17, 9) if options.smoke else (40, 48, 96, 160, 65)
    names = [name for name, cell in CELLS.items() if cell.in_torch]
    for cell, operands, tokens in mine(options, list(itertools.product(names, BOUNDS, (False, True)))):
        if options.device == "cpu" and operands != "float32":
            continue
        row: Row = {"cell": cell, "operands": operands, "source": "tokens" if tokens else "vectors"}
        dtype = arithmetic(operands)
        try:
            torch.manual_seed(1)
            config = ModelConfig(**CELLS[cell].settings, hidden=H)
            layer = RecurrentLayer(config, E).to(options.device)
            twin = RecurrentLayer(config, E).to(options.device).double()
            twin.load_state_dict(layer.state_dict())
            table = torch.randn(V, E, device=options.device)
            source = torch.randint(V, (T, B), device=options.device) if tokens else torch.randn(T, B, E).to(table)
            gradient = torch.randn(T, B, H).to(table)
            found = []
            for module, operand in ((layer, dtype), (twin, torch.float64)):
                weights = table.detach().to(module.weight_hh.dtype).requires_grad_()
                x = source if tokens else source.detach().to(weights.dtype).requires_grad_()
                y, _ = module(x, module.zero_state(B), weights if tokens else None, operand)
                inputs = [*module.parameters(), weights if tokens else x]
                found.append([y.detach(), *torch.autograd.grad(y, inputs, gradient.to(y.dtype))])
            errors = [float((a.double() - b).norm() / b.norm()) for a, b in zip(*found, strict=True)]
            row |= {"error": max(errors), "ok": max(errors) <= BOUNDS[operands]}
        except Exception as failure:
            row |= {"ok": False, "failure": one_line(failure)}
        yield row


def graphed(options: argparse.Namespace) -> Iterator[Row]:
    """50 steps of a training captured as a graph against the same plainly: every loss."""
    from tuirnn.cells import CELLS

    for cell in compared():
        small = options.smoke or options.device == "cpu"
        settings: dict[str, Any] = {**CELLS[cell].settings, "layers": 2, "embed": 8, "dropout": 0.0, "batch_size": 4}
        settings |= dict(zip(("hidden", "seq_len", "steps"), (16, 8, 8) if small else (128, 32, 50), strict=True))
        losses = []
        for mode in ("off", "twin" if options.device == "cpu" else "on"):
            os.environ["TUIRNN_GRAPH"] = mode
            events, records = trained(options, **settings)
            losses.append([record["loss"] for record in records])
            notes = [event["message"] for event in events if "graph" in event.get("message", "")]
        del os.environ["TUIRNN_GRAPH"]
        far = max(abs(a - b) for a, b in zip(*losses, strict=True))
        yield {
            "cell": cell,
            "steps": len(losses[0]),
            "difference": far,
            "ok": far <= 1e-5 and not notes,
            "notes": notes,
        }


def layers(options: argparse.Namespace) -> Iterator[Row]:
    """A layer forward and backward against torch.nn's, each as it is called and as a captured graph, interleaved."""
    import torch
    from torch import nn

    from tuirnn.cells import CELLS
    from tuirnn.config import ModelConfig
    from tuirnn.kernels import cuda
    from tuirnn.models import RecurrentLayer

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


def trained(
    options: argparse.Namespace, *, evaluate: bool = False, report: Callable[[Row], None] | None = None, **settings: Any
) -> tuple[list[Row], list[Row]]:
    """(events, records of the training steps) of a run in a folder that is gone afterwards."""
    from tuirnn.config import RunConfig
    from tuirnn.runs.layout import RunPaths
    from tuirnn.runs.reader import LogTail
    from tuirnn.training import launch
    from tuirnn.training.events import Event, to_json

    events: list[Row] = []

    def note(event: Event) -> None:
        events.append(to_json(event))
        if report is not None:
            report(events[-1])

    settings["device"] = options.device
    if options.data is not None:
        settings["sources"] = (str(options.data),)
    if not evaluate:
        settings |= {"eval_every": 10**9, "checkpoint_every": 10**9, "sample_length": 0}
    with tempfile.TemporaryDirectory() as folder:
        launch.start(RunConfig().replace(**settings), Path(folder), "bench", note)
        records = [r for r in LogTail(RunPaths(Path(folder) / "bench").metrics).read() if r["split"] == "train"]
    return events, records


@dataclass(frozen=True)
class Part:
    """Something to find out, the most seconds that it may take, how many processes share it, and whether it times."""

    rows: Callable[[argparse.Namespace], Iterator[Row]]
    limit: float
    shares: int = 1
    timed: bool = True


PARTS = {
    "correctness": Part(correctness, 150, shares=6, timed=False),
    "layer_gradients": Part(layer_gradients, 120, shares=3, timed=False),
    "graphed": Part(graphed, 120, timed=False),
    "compile_ahead": Part(compile_ahead, 150, shares=8, timed=False),
    "step": Part(step, 90),
    "shakespeare": Part(shakespeare, 120),
    "layers": Part(layers, 300),
}
