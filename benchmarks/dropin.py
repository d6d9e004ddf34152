"""`tuirnn.nn` in place of `torch.nn` in a training script of nanoGPT's kind: the same losses, and the time of a step.

    python benchmarks/dropin.py TEXT [--cells LSTM] [--steps 200] [--shapes 32x64x384] [--rounds 9] [-o FILE.json]

The script is as one writes it: embedding, recurrent module with `batch_first`, head, AdamW, clipping, random windows of
the text. It runs once with each of the two modules on the same seed, for the losses. Then steps of both are timed in
turns: a round has some steps of each, and medians over the rounds are printed.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import tuirnn.nn

WARM, TIMED = 2, 3
"""Steps of a turn before those that are timed, and these."""


class Model(nn.Module):
    """Embedding, a recurrent module of torch.nn or tuirnn.nn, dropout, head."""

    def __init__(self, package: Any, cell: str, vocab: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, hidden)
        self.rnn = getattr(package, cell)(
            hidden, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, vocab)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of tokens x [B, T] whose next ones are y [B, T]."""
        h, _ = self.rnn(self.embedding(x))
        return nn.functional.cross_entropy(self.head(self.dropout(h)).flatten(0, 1), y.flatten())


class Script:
    """The training: windows from anywhere in the text, AdamW, clipping."""

    def __init__(
        self, package: Any, cell: str, ids: Tensor, shape: tuple[int, int, int], layers: int, device: str
    ) -> None:
        torch.manual_seed(1337)
        self.ids, (self.batch, self.length, hidden), self.device = ids, shape, device
        self.model = Model(package, cell, int(ids.max()) + 1, hidden, layers, 0.2).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-3, betas=(0.9, 0.99), weight_decay=0.01)

    def step(self) -> float:
        """One batch, one update; returns the loss."""
        starts = torch.randint(len(self.ids) - self.length - 1, (self.batch,))
        windows = torch.stack([self.ids[i : i + self.length + 1] for i in starts.tolist()]).to(self.device)
        loss = self.model(windows[:, :-1], windows[:, 1:])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


def seconds(script: Script) -> float:
    """Of a step that follows others."""
    for _ in range(WARM):
        script.step()
    began = time.perf_counter()
    for _ in range(TIMED):
        script.step()
    return (time.perf_counter() - began) / TIMED


def main() -> None:
    """Compare losses, then times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--cells", default="LSTM,GRU,RNN")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--losses-shape", default="16x64x128")
    parser.add_argument("--shapes", default="32x64x256,32x64x512,64x128x256")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    text = options.text.read_text()
    number = {symbol: i for i, symbol in enumerate(sorted(set(text)))}
    ids = torch.tensor([number[symbol] for symbol in text])
    packages = {"torch.nn": nn, "tuirnn.nn": tuirnn.nn}
    rows: list[dict[str, Any]] = []

    def sizes(word: str) -> tuple[int, int, int]:
        batch, length, hidden = map(int, word.split("x"))
        return batch, length, hidden

    for cell in options.cells.split(","):
        shape, losses = sizes(options.losses_shape), {}
        for name, package in packages.items():
            script = Script(package, cell, ids, shape, options.layers, options.device)
            losses[name] = [script.step() for _ in range(options.steps)]
        off = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
        first, last = losses["torch.nn"][0], losses["torch.nn"][-1]
        print(f"{cell} × {options.layers}, {options.losses_shape}, {options.steps} steps: loss {first:.4f} to "
              f"{last:.4f}, largest difference {off:.1e}", flush=True)  # fmt: skip
        rows.append(
            {"cell": cell, "shape": options.losses_shape, "steps": options.steps, "difference": off, "last": last}
        )
    for cell in options.cells.split(","):
        for word in options.shapes.split(","):
            scripts = {name: Script(p, cell, ids, sizes(word), 1, options.device) for name, p in packages.items()}
            times: dict[str, list[float]] = {name: [] for name in scripts}
            for _ in range(options.rounds):
                for name, script in scripts.items():
                    times[name].append(seconds(script))
            ratios = [a / b for a, b in zip(*times.values(), strict=True)]
            ours, theirs = (statistics.median(times[name]) for name in ("tuirnn.nn", "torch.nn"))
            print(f"{cell} {word}: torch.nn {theirs * 1e3:.1f} ms a step, tuirnn.nn {ours * 1e3:.1f} ms, "
                  f"{theirs / ours:.2f}× ({min(ratios):.2f}–{max(ratios):.2f})", flush=True)  # fmt: skip
            rows.append({"cell": cell, "shape": word, "ours": ours, "theirs": theirs, "ratios": ratios})
    if options.output:
        about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": options.device, "rows": rows}
        options.output.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
