"""Measures every recipe's full result, and appends it to docs/notebook.md with date, commit and command.

    python benchmarks/recipes.py                       # the parts and how long each takes on two idle cores
    python benchmarks/recipes.py surnames dinos        # measure these
    python benchmarks/recipes.py shakespeare-cpu --seeds 1

Runs are kept in --runs (checkpoints/recipes): what is done is not trained again, what was cut short goes on. A part's
figures are appended when the part is complete; --no-write prints them alone.
"""

import argparse
import datetime
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "5000")

import numpy as np

from tuirnn import sweeping
from tuirnn.cells import CELLS
from tuirnn.cells.gru import GRU
from tuirnn.cells.rnn import RNN
from tuirnn.config import load_recipe
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_status

CORES = os.cpu_count() or 1
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "notebook.md"


@dataclass(frozen=True)
class Part:
    """Something to measure: how long it takes about, and what does it; that returns lines of Markdown."""

    about: str
    measure: Callable[[argparse.Namespace], list[str]]


def trained(options: argparse.Namespace, points: Sequence[sweeping.Point], jobs: int = 1) -> list[RunPaths]:
    """Train what is not done yet; ends the program where one fails."""
    failed = sweeping.train(points, options.runs, jobs, lambda line: print(f"  {line}", file=sys.stderr, flush=True))
    if failed:
        raise SystemExit(f"not measured: {failed}")
    return [RunPaths(options.runs / point.name) for point in points]


def point(recipe: str, name: str = "", **changes: Any) -> sweeping.Point:
    """A run of a recipe; without a given name it is named by the changed settings."""
    config = load_recipe(recipe).config.replace(**changes)
    words = [f"{key}{value:g}" if isinstance(value, float) else f"{key}{value}" for key, value in changes.items()]
    return sweeping.Point(name or "-".join([recipe, *words]).replace("_", ""), config, changes)


def mean(values: Sequence[float], digits: int = 4) -> str:
    """Mean and range."""
    spread = f" ({min(values):.{digits}f} – {max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"


def rows(titles: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in body)]


def last_sample(paths: RunPaths) -> str:
    """What the network wrote last, on one line."""
    texts = [record["text"] for record in LogTail(paths.samples).read() if record["kind"] == "sample"]
    return " ⏎ ".join(texts[-1].split("\n")) if texts else ""


# ── surnames ─────────────────────────────────────────────────────────────────────


def surnames(options: argparse.Namespace) -> list[str]:
    """German and Italian: the baseline, the published networks, ours; then how ours streams."""
    from linear_surnames import accuracy, bag, positions

    from tuirnn import tasks

    seeds = range(options.seeds or 5)
    body = []
    for label, read in (("linear, one-hot characters padded to 18", positions), ("linear, bag of characters", bag)):
        found = []
        for seed in seeds:
            data = tasks.load(load_recipe("surnames").config.replace(split_seed=seed).data)
            found.append(100 * accuracy(data, read))
        body.append([label, mean(found, 2), "–", "–", "–"])
    for recipe in ("surnames-rnn", "surnames-rnn2", "surnames"):
        points = [point(recipe, seed=seed, split_seed=seed) for seed in seeds]
        measured = [_judged(paths) for paths in trained(options, points, CORES)]
        body.append([f"`{recipe}`", *(mean([m[key] for m in measured], digits) for key, digits in
                    (("accuracy", 2), ("seconds", 0), ("Tribbiani", 3))),
                    f"{max(m['difference'] for m in measured):.1e}"])  # fmt: skip
    titles = ["test accuracy, %, five splits 80/20" if len(seeds) == 5 else "test accuracy, %", "seconds",
              "p(Italian \\| Tribbiani)", "streamed cell against padded batch"]  # fmt: skip
    return rows(["", *titles], body)


def _judged(paths: RunPaths) -> dict[str, float]:
    """The last network of a run on the test split, through its cell file."""
    import torch
    from safetensors.torch import load as load_tensors

    from tuirnn.export.exporter import export_run
    from tuirnn.runs import checkpoint
    from tuirnn.runs.reader import read_record
    from tuirnn.runtime.data import run_data
    from tuirnn.runtime.opened import opened
    from tuirnn.tasks.classify.data import LabelledData
    from tuirnn.tasks.classify.prediction import measure, stream
    from tuirnn.tasks.probabilities import softmax
    from tuirnn.training.learner import build_model
    from tuirnn.training.tasks.classify import last_logits

    data = run_data(paths)
    assert isinstance(data, LabelledData)
    cell = export_run(paths, "last")
    classifier = opened(cell, paths.name, "cpu")
    figures = measure(classifier, data.test)
    streamed = {text: [p for _, p in stream(classifier, text)][-1] for text in map(data.vocab.decode, data.test.ids)}
    model = build_model(read_record(paths).config, data).eval()
    model.load_state_dict(load_tensors(checkpoint.load(paths, "last").files[checkpoint.MODEL]))
    with torch.no_grad():
        padded = softmax(last_logits(model, data.test, torch.device("cpu")).numpy())
    difference = max(float(np.abs(a - b).max()) for a, b in zip(streamed.values(), padded, strict=True))
    *_, (_, friend) = stream(classifier, "Tribbiani")
    return {
        "accuracy": 100 * figures.accuracy,
        "macro F1": figures.macro_f1,
        "calibration": figures.calibration,
        "seconds": read_status(paths).elapsed,
        "difference": difference,
        "Tribbiani": float(friend[data.classes.index("Italian")]) if "Italian" in data.classes else math.nan,
    }


def surnames_18(options: argparse.Namespace) -> list[str]:
    """All 18 languages."""
    points = [point("surnames-18", seed=seed, split_seed=seed) for seed in range(options.seeds or 3)]
    measured = [_judged(paths) for paths in trained(options, points, CORES)]
    keys = (("accuracy", 2), ("macro F1", 4), ("calibration", 4), ("seconds", 0))
    return rows([f"`surnames-18`, {len(points)} splits", *(key for key, _ in keys)],
                [["test", *(mean([m[key] for m in measured], digits) for key, digits in keys)]])  # fmt: skip


# ── text ─────────────────────────────────────────────────────────────────────────


def losses(paths: RunPaths) -> dict[str, float]:
    """Of the best evaluation: carried and in blocks; beside them the smoothed training loss at the end and the time."""
    records = LogTail(paths.metrics).read()
    best = min((r for r in records if r["split"] == "val"), key=lambda r: float(r["loss"]))
    train = [float(r["loss"]) for r in records if r["split"] == "train"]
    status = read_status(paths)
    return {
        "carried": float(best["loss"]),
        "blocks": float(best["loss_blocks"]),
        "at step": float(best["step"]),
        "steps": float(status.step),
        "training": statistics.fmean(train[-500:]),
        "seconds": status.elapsed,
    }


def loss_table(named: Sequence[tuple[str, Sequence[RunPaths]]]) -> list[str]:
    """A row for each name: means and ranges over its runs."""
    body = []
    for name, runs in named:
        found = [losses(paths) for paths in runs]
        figures = [mean([one[key] for one in found]) for key in ("carried", "blocks", "training")]
        counts = [f"{statistics.fmean([one[key] for one in found]):,.0f}" for key in ("steps", "seconds")]
        body.append([name, *figures, *counts])
    return rows(["", "held out, carried", "blocks of 256", "training, last 500 steps", "steps", "seconds"], body)


def shakespeare_cpu(options: argparse.Namespace) -> list[str]:
    """Three seeds of three and of ten minutes, one run at a time."""
    changes = {"minutes": options.minutes} if options.minutes else {}
    table = []
    for recipe in ("shakespeare-cpu", "shakespeare-cpu-10"):
        points = [point(recipe, seed=seed, **changes) for seed in range(options.seeds or 3)]
        table.append((f"`{recipe}`", trained(options, points)))
    return loss_table(table)


def shakespeare_gpu(options: argparse.Namespace) -> list[str]:
    """One GPU; on a CPU, bfloat16 products and all, what it learns is the same, only later."""
    changes = {"device": options.device} if options.device else {}
    runs = trained(options, [point("shakespeare-gpu", **changes)])
    return loss_table([(f"`shakespeare-gpu`, {read_status(runs[0]).device}", runs)])


def residual_gru(options: argparse.Namespace) -> list[str]:
    """With and without residuals at equal steps."""
    seeds, changes = range(options.seeds or 1), {"steps": options.steps} if options.steps else {}
    named = {}
    for residual in (True, False):
        points = [point("residual-gru", residual=residual, seed=seed, **changes) for seed in seeds]
        named[f"8 × GRU 128, {'with' if residual else 'without'} residuals"] = trained(options, points)
    with_, without = ([losses(paths)["carried"] for paths in runs] for runs in named.values())
    difference = statistics.fmean(without) - statistics.fmean(with_)
    return [*loss_table(list(named.items())), "", f"Residuals lower the held-out loss by {difference:.3f} nats."]


def essay(recipe: str, leaky: bool = False) -> Callable[[argparse.Namespace], list[str]]:
    """The published settings on a split without overlap; `leaky`: on the published split, whose parts overlap."""

    def measure(options: argparse.Namespace) -> list[str]:
        changes: dict[str, Any] = {
            name: getattr(options, name) for name in ("epochs", "hidden") if getattr(options, name)
        }
        if options.steps:
            changes |= {"steps": options.steps, "epochs": 0.0, "eval_every": max(1, options.steps // 10)}
        tag = "".join(f"-{name}{value:g}" for name, value in changes.items() if value and name != "eval_every")
        name = f"{recipe}{'-within' if leaky else ''}{tag}"
        if leaky:
            changes |= {"split": "within", "allow_leak": True}
        runs = trained(options, [point(recipe, name, **changes)])
        table = loss_table([(f"`{recipe}`, {'trained on as well: leaky' if leaky else 'held out'}", runs)])
        return [*table, "", f"Greedy text: {last_sample(runs[0])}"]

    return measure


def essay_batches(options: argparse.Namespace) -> list[str]:
    """The cells of torch.nn in batches."""
    cells = [name for name, cell in CELLS.items() if cell.in_torch and cell.family == name]
    return loss_table(
        [(f"`essay-batches --cell {c}`", trained(options, [point("essay-batches", cell=c)])) for c in cells]
    )


def dinos(options: argparse.Namespace) -> list[str]:
    """Held-out loss, and how many of a thousand names are new."""
    body = []
    for cell in RNN.name, GRU.name:
        (paths,) = trained(options, [point("dinos", cell=cell)])
        found = losses(paths)
        said = _asked("novelty", paths, "--length", "20000", "--temperature", "1")
        body.append([f"`dinos --cell {cell}`", f"{found['carried']:.4f}", f"{found['at step']:,.0f}",
                     f"{100 * said['new_lines']:.1f} %", f"{100 * said['different_lines']:.1f} %",
                     f"{found['seconds']:.0f}", ", ".join(last_sample(paths).split(" ⏎ ")[:5])])  # fmt: skip
    titles = [
        "held out, carried",
        "best at step",
        "new names",
        "different names",
        "seconds",
        "first names of the last sample",
    ]
    return rows(["", *titles], body)


def sincos(options: argparse.Namespace) -> list[str]:
    """The exported cell on the test part: one step ahead, and closed loop over 200 steps; the worse column."""
    body = []
    for nonlinearity in ("tanh", "relu"):
        points = [point("sincos", nonlinearity=nonlinearity, seed=seed) for seed in range(options.seeds or 3)]
        for paths in trained(options, points, CORES):
            columns = _asked("eval", paths)["columns"].values()
            error, wander = (max(column[key] for column in columns) for key in ("mse", "rollout_rmse"))
            body.append([paths.name, f"{error:.1e}", f"{wander:.1e}", f"{read_status(paths).elapsed:.0f}"])
    return rows(["", "test MSE, one step", "RMSE, closed loop over 200", "seconds"], body)


def _asked(command: str, paths: RunPaths, *words: str) -> dict[str, Any]:
    """What a command of tuirnn answers on a run."""
    given = [sys.executable, "-m", "tuirnn", command, paths.name, "--runs", str(paths.root.parent), *words, "--json"]
    done = subprocess.run(given, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def plain(recipe: str) -> Callable[[argparse.Namespace], list[str]]:
    """A recipe as it stands."""
    return lambda options: loss_table([(f"`{recipe}`", trained(options, [point(recipe)]))])


def gru_gradient(options: argparse.Namespace) -> list[str]:
    """The script beside this one."""
    words = ["--runs", str(options.runs / "gru-gradient"), "--jobs", str(os.cpu_count() or 1)]
    for name in ("epochs", "steps", "hidden"):
        if getattr(options, name):
            words += [f"--{name}", str(getattr(options, name))]
    script = Path(__file__).with_name("gru_gradient.py")
    done = subprocess.run(
        [sys.executable, str(script), *words], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    return [*done.stdout.strip().splitlines(), "", "![curves](gru-gradient.svg)"]


PARTS: dict[str, Part] = {
    "surnames": Part("five seeds of three networks and the linear baseline: 5 minutes", surnames),
    "surnames-18": Part("all languages, three seeds: 3 minutes", surnames_18),
    "residual-gru": Part("with and without residuals: 3 minutes", residual_gru),
    "gru-gradient": Part("published against corrected GRU, three cells, three seeds: 12 minutes", gru_gradient),
    "sincos": Part("tanh and relu, three seeds: 2 minutes", sincos),
    "dinos": Part("two cells: 1 minute", dinos),
    "essay-batches": Part("three cells: 10 minutes", essay_batches),
    "essay-rnn": Part("as published, but held out: 55 minutes; --steps or --epochs cut it short", essay("essay-rnn")),
    "essay-lstm": Part("likewise: a hundred minutes", essay("essay-lstm")),
    "essay-gru": Part("likewise: 90 minutes", essay("essay-gru")),
    "essay-rnn-leaky": Part(
        "as published, judged by what is trained on as well: as long", essay("essay-rnn", leaky=True)
    ),
    "essay-lstm-leaky": Part("likewise", essay("essay-lstm", leaky=True)),
    "essay-gru-leaky": Part("likewise", essay("essay-gru", leaky=True)),
    "shakespeare-cpu": Part("three seeds at 3 and 10 minutes: 40 minutes", shakespeare_cpu),
    "shakespeare-gpu": Part("one GPU; --device cpu: 15 minutes", shakespeare_gpu),
    "demo": Part("45 seconds", plain("demo")),
}


def append(part: str, command: str, lines: Sequence[str]) -> None:
    """Add a part's result to docs/notebook.md, under a heading of its own."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    date = datetime.date.today().isoformat()
    head = [f"### {part}", "", f"{date}, commit {commit}, `{command}`:", ""]
    text = RESULTS.read_text()
    if HEADING not in text:
        text = text.rstrip("\n") + f"\n\n{HEADING}\n\nAppended by `python benchmarks/recipes.py`.\n"
    end = text.find("\n## ", text.index(HEADING) + 1)
    before, after = (text, "") if end < 0 else (text[:end], text[end:])
    RESULTS.write_text(before.rstrip("\n") + "\n\n" + "\n".join([*head, *lines]) + "\n" + after)


HEADING = "## Recipes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--runs", type=Path, default=Path("checkpoints/recipes"))
    parser.add_argument("--seeds", type=int, default=0, help="how many, in place of the part's own number")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=0.0)
    parser.add_argument("--hidden", type=int, default=0)
    parser.add_argument("--device", default="", help="of shakespeare-gpu")
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part '{part}'; known: {', '.join(PARTS)}")
    if not options.parts:
        for name, part in PARTS.items():
            print(f"{name:<16} {part.about}")
    for name in options.parts:
        lines = PARTS[name].measure(options)
        print("\n".join([f"\n{name}", "", *lines]), flush=True)
        if not options.no_write:
            append(name, " ".join(["python benchmarks/recipes.py", name, *limits(options)]), lines)


def limits(options: argparse.Namespace) -> list[str]:
    """The options that bear on the figures, as they were given."""
    given = {name: getattr(options, name) for name in ("seeds", "steps", "epochs", "hidden", "minutes", "device")}
    return [f"--{name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in given.items() if value]


if __name__ == "__main__":
    main()
