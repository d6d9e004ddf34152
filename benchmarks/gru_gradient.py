"""The GRU as published against the GRU with its gradient put right, and the three cells against one another.

The published backward pass multiplies the gates' gradients by each recurrent matrix W where Wᵀ belongs. Everything
else is the recipes `essay-*`: windows of 100 characters from everywhere, one a step, SGD 0.1 on summed gradients
clipped at 1, weights 0.01·randn, on the first 32,426 characters of tiny Shakespeare, the last 5 % held out.

    python benchmarks/gru_gradient.py                        # 128 hidden units, 6,000 steps, three seeds
    python benchmarks/gru_gradient.py --hidden 512 --epochs 10   # the published budget: many hours

Runs are kept in --runs: what is done is not trained again. Prints a table, and draws docs/gru-gradient.svg.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from tuirnn.config import RunConfig, load_recipe
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail

CONTENDERS = {
    "GRU as published": "essay-gru", "GRU": "essay-gru", "LSTM": "essay-lstm", "RNN": "essay-rnn",
}  # fmt: skip
"""What is compared -> its recipe."""

COLOURS = {"GRU as published": "#D55E00", "GRU": "#009E73", "LSTM": "#0072B2", "RNN": "#CC79A7"}
LAST = 500
"""Steps over whose windows the final training loss is taken, as in docs/notebook.md."""


@contextmanager
def published_gradient() -> Iterator[None]:
    """Inside, every layer's backward pass uses each gate's W in place of its transpose; the forward pass is right."""
    from tuirnn.kernels import layer, portable

    def backward(cell: Any, trace: Any, weights: Any, *rest: Any, **options: Any) -> Any:
        import torch

        wrong = torch.cat([W.t() for W in weights.matrix.chunk(cell.R)])
        return portable.backward(cell, trace, weights._replace(matrix=wrong), *rest, **options)

    kernel = SimpleNamespace(forward=portable.forward, backward=backward)
    with patch.object(layer, "_kernel", lambda cell, weight_hh, dtype: kernel):
        yield


def gradient_error(hidden: int) -> str:
    """How far the published gradient is from the true one, on random weights of the size that they grow to."""
    import torch

    from tuirnn.models import SequenceModel

    torch.manual_seed(0)
    config = load_recipe("essay-gru").config.replace(hidden=hidden, init_std=0.1).model
    model, tokens = SequenceModel(config, 65), torch.randint(65, (101, 1))

    def gradients() -> dict[str, Any]:
        model.zero_grad()
        logits, _ = model(tokens[:-1], model.zero_state(1))
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[1:].flatten()).backward()
        return {
            name: p.grad.clone()
            for name, p in model.named_parameters()
            if name.startswith("layers.") and p.grad is not None
        }

    right = gradients()
    with published_gradient():
        wrong = gradients()
    return ", ".join(
        f"{name[9:]} {float((wrong[name] - right[name]).norm() / right[name].norm()):.0%}" for name in right
    )


def settings(recipe: str, seed: int, arguments: argparse.Namespace) -> RunConfig:
    """The recipe, shortened."""
    config = load_recipe(recipe).config
    budget = {"epochs": arguments.epochs, "steps": 0} if arguments.epochs else {"epochs": 0.0, "steps": arguments.steps}
    return config.replace(
        hidden=arguments.hidden, seed=seed, eval_every=arguments.eval_every, sample_length=0, device="cpu", **budget
    )


def train(name: str, folder: Path, config: RunConfig, published: bool) -> str:
    """One run to its end, in a process of its own, on one thread."""
    import torch

    from tuirnn.sweeping import Point, is_done
    from tuirnn.training import launch

    torch.set_num_threads(1)
    point = Point(name, config, {})
    if is_done(point, folder):
        return name
    with published_gradient() if published else patch.dict({}):
        if (folder / name / "run.json").exists():
            launch.resume(RunPaths(folder / name), {}, lambda event: None)
        else:
            launch.start(config, folder, name, lambda event: None)
    return name


def curve(folder: Path, name: str, split: str) -> tuple[Any, Any]:
    """Steps and losses."""
    records = [r for r in LogTail(RunPaths(folder / name).metrics).read() if r["split"] == split]
    return np.array([r["step"] for r in records]), np.array([r["loss"] for r in records])


def draw(folder: Path, runs: dict[str, list[str]], target: Path, title: str) -> None:
    """Training loss, averaged over 250 steps and the seeds, with the seeds' range; held-out loss as points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for label, names in runs.items():
        curves = [curve(folder, name, "train")[1] for name in names]
        width = max(1, len(curves[0]) // 48)
        means = np.array([c[: len(c) // width * width].reshape(-1, width).mean(1) for c in curves])
        x = (np.arange(means.shape[1]) + 0.5) * width
        axes.plot(x, means.mean(0), color=COLOURS[label], label=label)
        axes.fill_between(x, means.min(0), means.max(0), color=COLOURS[label], alpha=0.2, linewidth=0)
        steps = curve(folder, names[0], "val")[0]
        held = np.mean([curve(folder, name, "val")[1] for name in names], axis=0)
        axes.plot(steps, held, ".", color=COLOURS[label])
    axes.set_xlabel("windows of 100 characters, one a step")
    axes.set_ylabel("nats per character")
    axes.set_title(title, fontsize=10)
    axes.legend(title="line: training, dots: held out")
    axes.grid(alpha=0.2)
    figure.savefig(target)


def table(folder: Path, runs: dict[str, list[str]]) -> str:
    """Mean and range over the seeds of the last training losses and of the best held-out loss."""
    lines = [
        f"| | training, last {LAST} windows | seeds from – to | held out, carried, best | seeds from – to |",
        "|---|---|---|---|---|",
    ]
    for label, names in runs.items():
        last = [float(curve(folder, name, "train")[1][-LAST:].mean()) for name in names]
        best = [float(curve(folder, name, "val")[1].min()) for name in names]
        figures = (f"{np.mean(v):.3f} | {min(v):.3f} – {max(v):.3f}" for v in (last, best))
        lines.append(f"| {label} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--epochs", type=float, default=0.0)
    parser.add_argument("--eval-every", type=int, default=1000)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--runs", type=Path, default=Path("checkpoints/gru-gradient"))
    parser.add_argument("--picture", type=Path, default=Path("docs/gru-gradient.svg"))
    arguments = parser.parse_args()
    budget = f"e{arguments.epochs:g}" if arguments.epochs else str(arguments.steps)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[str]] = {label: [] for label in CONTENDERS}
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        waiting = []
        for seed in map(int, arguments.seeds.split(",")):
            for label, recipe in CONTENDERS.items():
                name = f"{label.replace(' ', '-').lower()}-{arguments.hidden}-{budget}-seed{seed}"
                runs[label].append(name)
                config = settings(recipe, seed, arguments)
                waiting.append(pool.submit(train, name, arguments.runs, config, label == "GRU as published"))
        for done in waiting:
            print(done.result(), "is done", file=sys.stderr, flush=True)
    print(f"the published gradient's distance from the true one: {gradient_error(arguments.hidden)}\n")
    print(table(arguments.runs, runs))
    seeds = len(runs["GRU"])
    draw(arguments.runs, runs, arguments.picture, f"{arguments.hidden} hidden units, {seeds} seeds, equal steps")


if __name__ == "__main__":
    main()
