"""The overhead around the training step: start, logging, evaluation; and a race against a plain script.

python benchmarks/overhead.py start                       # from the command to the first training step
python benchmarks/overhead.py steps [--steps 1500]        # `tuirnn train` against its own bare step
python benchmarks/overhead.py race [--minutes 1] [--rounds 2] [TEXT]   # against benchmarks/plain_lstm.py, equal seconds
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BLOCK = 20  # steps of each kind in turn
PUBLISHED = "nanoGPT's CPU recipe, as published, 3 minutes of a laptop"
PUBLISHED_LOSS = 1.88


def tuirnn(*words: str) -> list[str]:
    """The command line of this checkout."""
    return [sys.executable, "-m", "tuirnn", *words]


# ── start ─────────────────────────────────────────────────────────────────────


def seconds_to_first_step(folder: Path, number: int) -> float:
    """One start of `tuirnn train` on the embedded text, until the first step is reported."""
    began = time.perf_counter()
    words = tuirnn("train", "--runs", str(folder), "--name", f"start-{number}", "--steps", "10000", "--json")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "step":
                took = time.perf_counter() - began
                process.kill()
                return took
    raise SystemExit("tuirnn train ended before its first step")


def seconds_of(*words: str) -> float:
    """How long a command takes."""
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def start(rounds: int) -> None:
    """Warm starts: one before the first counted one."""
    with tempfile.TemporaryDirectory() as folder:
        found = [seconds_to_first_step(Path(folder), number) for number in range(rounds + 1)][1:]
    imports = [seconds_of(sys.executable, "-c", "import torch") for _ in range(rounds)]
    print(f"command to first training step, embedded text: {spread(found)}; bar 6 s")
    print(f"of which the interpreter with import torch: {spread(imports)}")


def spread(values: list[float]) -> str:
    """Such as '2.61 s (2.55–2.70)'."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f}–{max(values):.2f})"


# ── steps ─────────────────────────────────────────────────────────────────────


def steps(count: int, settings: dict[str, Any]) -> None:
    """A real `tuirnn train --json` in this process; every BLOCK of its steps is followed by as many bare ones."""
    import torch

    from tuirnn.cli.progress import JsonReport
    from tuirnn.config import RunConfig
    from tuirnn.machine import share_cores
    from tuirnn.training import launch
    from tuirnn.training.events import Event

    share_cores()
    config = RunConfig().replace(steps=count, **settings)
    bare, show = bare_step(config), JsonReport(config)
    times: list[tuple[float, float, bool]] = []  # a block of the training, of bare steps; with an evaluation in it
    evaluated, last, threads = False, 0.0, torch.get_num_threads()

    def report(event: Event) -> None:
        nonlocal evaluated, last
        show(event)
        evaluated |= event.kind == "eval"
        if event.kind == "step" and event.step % BLOCK == 0:
            began = time.perf_counter()
            for _ in range(BLOCK):
                bare()
            if last:
                times.append((began - last, time.perf_counter() - began, evaluated))
            evaluated, last = False, time.perf_counter()

    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        launch.start(config, Path(folder), "overhead", report)
    ratios = [bare / whole for whole, bare, evaluated in times if not evaluated]
    quarters = statistics.quantiles(ratios, n=4)
    tokens = BLOCK * config.train.batch_size * config.train.seq_len
    ours = statistics.median(whole for whole, _, evaluated in times if not evaluated)
    theirs = statistics.median(bare for _, bare, _ in times)
    everything = sum(bare for _, bare, _ in times) / sum(whole for whole, _, _ in times)
    print(
        f"tuirnn train {tokens / ours:,.0f} tokens/s, its bare step {tokens / theirs:,.0f}, {threads} threads: between "
        f"evaluations {statistics.median(ratios):.1%} (quartiles {quarters[0]:.1%}–{quarters[2]:.1%}, {len(ratios)} "
        f"blocks; bar 95 %); evaluations, samples and checkpoints included {everything:.1%}"
    )


def bare_step(config: Any) -> Callable[[], None]:
    """Same network, batches and update; no logs, status, requests, evaluation, and the loss is not even looked at."""
    import torch
    from torch.nn.functional import cross_entropy

    from tuirnn import tasks
    from tuirnn.models import detached
    from tuirnn.training.learner import build_model
    from tuirnn.training.optimizers import learning_rate, make_optimizer

    data, train = tasks.load(config.data), config.train
    model, batches = build_model(config, data), data.batches(train)
    optimizer, state, done = make_optimizer(model, train), model.zero_state(batches.B), 0

    def step() -> None:
        nonlocal state, done
        x, y, _ = batches.next()
        logits, after = model(torch.from_numpy(x), state)
        loss = cross_entropy(logits.flatten(0, 1), torch.from_numpy(y).flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(train, done, done / train.steps)
        optimizer.step()
        state, done = detached(after), done + 1

    return step


# ── race ──────────────────────────────────────────────────────────────────────


def race(minutes: float, rounds: int, text: Path | None) -> None:
    """Each seed once with each, in turn; both carried and blocks losses of the last 10 %, in nats per character."""
    if text is None:
        text = Path(subprocess.check_output(tuirnn("data", "path", "shakespeare"), text=True).strip())
    plain = [sys.executable, str(Path(__file__).with_name("plain_lstm.py")), str(text), "--minutes", str(minutes)]
    brief = {"GOMP_SPINCOUNT": "5000", **os.environ}  # as the command line sets it: else other work stalls the script
    found: dict[str, list[dict[str, float]]] = {"tuirnn train": [], "plain torch.nn.LSTM script": []}
    print("| | seed | steps | tokens/s | carried | blocks |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(rounds):
            ours = tuirnn("train", str(text), "--minutes", str(minutes), "--seed", str(seed), "--runs", folder,
                          "--name", f"race-{seed}", "--json")  # fmt: skip
            for name, words in zip(found, (ours, [*plain, "--seed", str(seed)]), strict=True):
                printed = subprocess.check_output(words, text=True, stderr=subprocess.DEVNULL, env=brief)
                end = json.loads(printed.splitlines()[-1])
                found[name].append(end)
                print(f"| {name} | {seed} | {end.get('steps', end.get('step')):,} | {end['tokens_per_s']:,.0f} | "
                      f"{end['val_loss']:.4f} | {end['val_loss_blocks']:.4f} |", flush=True)  # fmt: skip
    for name, ends in found.items():
        means = [statistics.mean(end[key] for end in ends) for key in ("tokens_per_s", "val_loss", "val_loss_blocks")]
        print(f"| **{name}** | mean | | {means[0]:,.0f} | **{means[1]:.4f}** | {means[2]:.4f} |")
    print(f"| {PUBLISHED} | | | | | {PUBLISHED_LOSS} |")


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("start", "steps", "race"))
    parser.add_argument("text", type=Path, nargs="?", help="race: a text; tiny Shakespeare where none is given")
    parser.add_argument("--rounds", type=int, help="starts (5), or seeds (2)")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--minutes", type=float, default=1.0)
    for name in ("hidden", "batch-size", "seq-len"):
        parser.add_argument(f"--{name}", type=int, help="steps: other than the default")
    options = parser.parse_args()
    if options.part == "start":
        start(options.rounds or 5)
    elif options.part == "steps":
        settings = {name: value for name in ("hidden", "batch_size", "seq_len") if (value := getattr(options, name))}
        steps(options.steps, settings)
    else:
        race(options.minutes, options.rounds or 2, options.text)


if __name__ == "__main__":
    main()
