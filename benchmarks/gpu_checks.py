"""The parts of `gpu.py` that check results: every cell, every way to run it, and captured graphs."""

import argparse
import itertools
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from gpu_common import Row, arithmetic, compared, mine, one_line, trained

BOUNDS = {"float32": 2e-5, "tf32": 5e-3, "float16": 5e-3, "bfloat16": 4e-2}
"""Largest ‖ours − exact‖ / ‖exact‖ of any result, by the type of the products' operands."""


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
        yield {"missing": cuda.unavailable_reason()}


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
        kept = [trace.gates.clone()] if made.keeps_gates else []
        kept += [trace.extra.clone()] if made.extra else []
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
    from tuirnn.models import RecurrentLayer
    from tuirnn.settings.model import ModelConfig

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
