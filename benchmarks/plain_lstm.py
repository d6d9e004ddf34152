"""What `tuirnn train` is raced against: a character model on `torch.nn.LSTM`, as one would write it in an afternoon.

    python benchmarks/plain_lstm.py TEXT [--minutes 1] [--seed 0] [--hidden 384] [--embed 128]

Sizes, AdamW, warm-up, cosine over the minutes, clipping, dropout and carried state are those of `tuirnn train`'s
defaults. It evaluates only when the time is over. Imports nothing of tuirnn; prints one line of JSON.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

DROPOUT, BATCH, LENGTH = 0.2, 32, 64
PEAK, FLOOR, WARMUP, DECAY, CLIP = 5e-3, 0.02, 50, 0.01, 1.0
BLOCK = 256

State = tuple[Tensor, Tensor] | None


class Model(nn.Module):
    """Embedding, LSTM, dropout, head."""

    def __init__(self, vocab: int, embed: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.lstm = nn.LSTM(embed, hidden)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(hidden, vocab)

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits [T, B, V] of tokens [T, B], and the state after them."""
        h, state = self.lstm(self.embedding(tokens), state)
        return self.head(self.dropout(h)), state


def loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Nats a token, or with 'sum' of all of them."""
    return cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


@torch.no_grad()
def held_out(model: Model, ids: Tensor) -> tuple[float, float]:
    """Nats a token over ids [n]: (one pass with the state carried, independent blocks of 256 from a zero state)."""
    model.eval()
    total, state = 0.0, None
    for x, y in zip(ids[:-1].split(2048), ids[1:].split(2048), strict=True):
        logits, state = model(x[:, None], state)
        total += float(loss(logits, y[:, None], "sum"))
    n = (len(ids) - 1) // BLOCK
    x, y = (part[: n * BLOCK].view(n, BLOCK).t() for part in (ids[:-1], ids[1:]))
    pieces = zip(x.split(64, dim=1), y.split(64, dim=1), strict=True)
    blocks = sum(float(loss(model(x, None)[0], y, "sum")) for x, y in pieces)
    return total / (len(ids) - 1), blocks / (n * BLOCK)


def train(model: Model, ids: Tensor, minutes: float) -> tuple[int, float]:
    """Truncated backpropagation through BATCH contiguous lanes of ids [n]; returns (steps, seconds)."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=DECAY, fused=True)
    lane = (len(ids) - 1) // BATCH
    x, y = (part[: lane * BATCH].view(BATCH, lane).t().contiguous() for part in (ids[:-1], ids[1:]))  # [lane, B]
    step, at, state = 0, 0, None
    began = time.perf_counter()
    while (share := (time.perf_counter() - began) / (60 * minutes)) < 1:
        rate = PEAK * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * share))) * min(1, (step + 1) / (WARMUP + 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits, after = model(x[at : at + LENGTH], state)
        mean = loss(logits, y[at : at + LENGTH])
        optimizer.zero_grad(set_to_none=True)
        mean.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        state, at, step = (after[0].detach(), after[1].detach()), at + LENGTH, step + 1
        if at + LENGTH > lane:
            state, at = None, 0
    return step, time.perf_counter() - began


def main() -> None:
    """Train for the given time, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--embed", type=int, default=128)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    text = options.text.read_text()
    number = {symbol: i for i, symbol in enumerate(sorted(set(text)))}
    ids = torch.tensor([number[symbol] for symbol in text])
    cut = len(ids) - round(0.1 * len(ids))
    model = Model(len(number), options.embed, options.hidden)
    steps, seconds = train(model, ids[:cut], options.minutes)
    carried, blocks = held_out(model, ids[cut:])
    rate = steps * BATCH * LENGTH / seconds
    print(json.dumps({"steps": steps, "tokens_per_s": rate, "val_loss": carried, "val_loss_blocks": blocks}))


if __name__ == "__main__":
    main()
