"""Which of 12 languages is a surname from? The default of `--task classify` beside what one would try first.

    python benchmarks/names.py                # five splits and seeds; appends a table to docs/notebook.md
    python benchmarks/names.py --seeds 1 --no-write

400 surnames of each language from Faker (extra `benchmarks`), without those that stand in two languages, are split anew
for each seed: 70 % to train on, 10 % to choose by (the checkpoint, the regression's penalty, the plain network's rate),
20 % to test. Everything measured is kept in a JSON file beside the runs; the same command again goes on from there.
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))

import numpy as np
import torch
from recipes import ROOT, append, mean, rows
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tuirnn.config import RunConfig
from tuirnn.files import atomic_write
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.reader import read_status
from tuirnn.settings.data import DataConfig
from tuirnn.tasks.classify.data import Examples, LabelledData, load

LOCALES = {
    "Croatian": "hr_HR", "Dutch": "nl_NL", "English": "en_GB", "Estonian": "et_EE", "Finnish": "fi_FI",
    "French": "fr_FR", "German": "de_DE", "Italian": "it_IT", "Polish": "pl_PL", "Slovak": "sk_SK",
    "Spanish": "es_ES", "Swedish": "sv_SE",
}  # fmt: skip
EACH = 400
TEST = 0.2

PENALTIES = (1.0, 3.0, 10.0, 30.0)
ORDERS = (4, 5)
RATES = (1e-3, 3e-3)
"""What is tried on the validation part."""

PLAIN, PATIENCE = (128, 256), 800
"""Hidden units of the plain networks, one of them as many as ours has by default, and steps without a lower validation
loss that end their training."""


def write_names(path: Path) -> None:
    """A table of surnames and their languages, the same on every machine with this version of Faker."""
    from faker import Faker

    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("name", "language"))
        for language, locale in LOCALES.items():
            made = Faker(locale)
            made.seed_instance(0)
            names: dict[str, None] = {}
            while len(names) < EACH:
                names[made.last_name()] = None
            table.writerows((name, language) for name in names)


# ── what is compared ─────────────────────────────────────────────────────────────


def regression(data: LabelledData) -> dict[str, float]:
    """scikit-learn's logistic regression on character n-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def texts(examples: Examples) -> list[str]:
        return [data.vocab.decode(ids) for ids in examples.ids]

    best = (-1.0, -1.0)
    for analyzer in ("char", "char_wb"):
        for longest in ORDERS:
            for penalty in PENALTIES:
                read = TfidfVectorizer(analyzer=analyzer, ngram_range=(1, longest), lowercase=False, sublinear_tf=True)
                made = make_pipeline(read, LogisticRegression(C=penalty, max_iter=2_000))
                made.fit(texts(data.train), data.train.labels)
                scores = [made.score(texts(part), part.labels) for part in (data.val, data.test)]
                best = max(best, (scores[0], scores[1]))
    return {"val": 100 * best[0], "test": 100 * best[1]}


class Plain(nn.Module):
    """Embedding, `nn.LSTM`, dropout, and a head at each sequence's last step."""

    def __init__(self, symbols: int, classes: int, hidden: int, config: RunConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, config.model.embed)
        self.lstm = nn.LSTM(config.model.embed, hidden)
        self.dropout = nn.Dropout(config.model.dropout)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits [B, classes] of tokens [T, B]."""
        h, _ = self.lstm(self.embedding(x))
        return self.head(self.dropout(h[lengths - 1, torch.arange(x.shape[1])]))


def plain(data: LabelledData, seed: int, hidden: int) -> dict[str, float]:
    """`nn.LSTM` for at most as many steps as ours, with Adam at the best of some constant rates, stopped early."""
    config = RunConfig.of("classify")
    steps = config.train.last_step(data.batches(config.train).batches_per_epoch)
    best = (math.inf, 0.0, 0.0)
    for rate in RATES:
        least, at = math.inf, 0
        torch.manual_seed(seed)
        model = Plain(len(data.vocab), data.outputs, hidden, config)
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        for step, (x, lengths, labels) in enumerate(_batches(data.train, config.train.batch_size, seed, steps), 1):
            optimizer.zero_grad()
            cross_entropy(model(x, lengths), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step % 100 == 0 or step == steps:
                nats, val = _judged(model, data.val)
                if nats < least:
                    least, at = nats, step
                if nats < best[0]:
                    best = (nats, val, _judged(model, data.test)[1])
                if step - at >= PATIENCE:
                    break
    return {"val": best[1], "test": best[2]}


def _batches(examples: Examples, size: int, seed: int, steps: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    draw, order = np.random.default_rng(seed), np.empty(0, np.int64)
    for _ in range(steps):
        if len(order) < size:
            order = draw.permutation(len(examples))
        which, order = order[:size], order[size:]
        x, lengths = examples.padded(which)
        yield torch.from_numpy(x), torch.from_numpy(lengths), torch.from_numpy(examples.labels[which])


@torch.no_grad()
def _judged(model: Plain, examples: Examples) -> tuple[float, float]:
    """Nats a sequence, and accuracy in per cent."""
    model.eval()
    x, lengths = examples.padded(range(len(examples)))
    logits, labels = model(torch.from_numpy(x), torch.from_numpy(lengths)), torch.from_numpy(examples.labels)
    model.train()
    return float(cross_entropy(logits, labels)), 100 * float((logits.argmax(1) == labels).double().mean())


def ours(table: Path, runs: Path, seed: int) -> dict[str, float]:
    """`tuirnn train TABLE --task classify` with defaults, then `tuirnn eval`, which judges by the test part."""
    name = f"names-{seed}"
    paths = RunPaths(runs / name)
    split = ["--test-fraction", str(TEST), "--split-seed", str(seed), "--seed", str(seed)]
    if not is_run(paths.root):
        _tuirnn(runs, "train", str(table), "--task", "classify", *split, "--name", name)
    elif read_status(paths).state != "done":
        _tuirnn(runs, "train", "--resume", name)
    found, status = json.loads(_tuirnn(runs, "eval", name, "--json")), read_status(paths)
    return {"test": 100 * found["accuracy"], "n-grams": 100 * found["ngram_accuracy"],
            "val": 100 * status.figure("accuracy"), "seconds": status.elapsed, "steps": float(status.step)}  # fmt: skip


def _tuirnn(runs: Path, command: str, *words: str) -> str:
    given = [sys.executable, "-m", "tuirnn", command, *words, "--runs", str(runs)]
    return subprocess.run(given, check=True, stdout=subprocess.PIPE, text=True).stdout


# ── the table ────────────────────────────────────────────────────────────────────


def measured(
    seed: int, table: Path, runs: Path, known: dict[str, dict[str, float]], keep: Callable[[], None], only: list[str]
) -> None:
    """Adds what is not known yet of one split and seed, and keeps each figure as soon as it is there."""
    data = load(DataConfig(task="classify", sources=(str(table),), split_seed=seed, test_fraction=TEST))
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "regression": lambda: regression(data),
        **{f"plain-{hidden}": lambda hidden=hidden: plain(data, seed, hidden) for hidden in PLAIN},  # type: ignore[misc]
        "ours": lambda: ours(table, runs, seed),
    }
    for name in only or parts:
        measure = parts[name]
        key = f"{name} {seed}"
        if key not in known:
            began = time.perf_counter()
            known[key] = {"seconds": 0.0, **measure()}
            known[key]["seconds"] = known[key]["seconds"] or time.perf_counter() - began
            keep()
        print(key, {name: round(value, 1) for name, value in known[key].items()}, file=sys.stderr, flush=True)


def report(known: dict[str, dict[str, float]], seeds: range) -> list[str]:
    """A table of means and ranges."""
    config = RunConfig.of("classify").model
    size = f"{config.cell.upper()}-{config.hidden}"
    labels = {
        "ours": f"`tuirnn train names.csv --task classify` ({size})",
        "regression": "logistic regression on character n-grams, scikit-learn",
        **{f"plain-{hidden}": f"`nn.LSTM`, {hidden} units, last state, stopped early" for hidden in PLAIN},
    }
    body = []
    for name, label in labels.items():
        found = [known[f"{name} {seed}"] for seed in seeds]
        body.append([label, mean([one["test"] for one in found], 1), mean([one["seconds"] for one in found], 0)])
    found = [known[f"ours {seed}"]["n-grams"] for seed in seeds]
    body.insert(1, ["the n-grams that `train` and `eval` print beside it", mean(found, 1), "–"])
    return rows(["", f"test accuracy, %, {len(seeds)} splits and seeds", "seconds"], body)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=ROOT / "checkpoints" / "names")
    parser.add_argument("--only", nargs="*", default=[], help="some of: regression, plain-128, ours …; writes nothing")
    parser.add_argument("--no-write", action="store_true", help="print alone")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    table, kept = options.runs / "names.csv", options.runs / "figures.json"
    if not table.exists():
        write_names(table)
    known = json.loads(kept.read_text()) if kept.exists() else {}
    for seed in range(options.seeds):
        measured(
            seed,
            table,
            options.runs,
            known,
            lambda: atomic_write(kept, json.dumps(known, indent=1).encode()),
            options.only,
        )
    if options.only:
        return
    lines = report(known, range(options.seeds))
    print("\n".join(lines))
    if not options.no_write:
        append("names of 12 languages", "python benchmarks/names.py", lines)


if __name__ == "__main__":
    main()
