"""Head and cross-entropy of a large vocabulary: all logits at once, and in pieces.

    python benchmarks/wide_head.py [--rows 2048] [--width 384] [--outputs 10001,20001] [--rounds 5]

Forward and backward of both in turn, the least of some rounds, and by how much their gradients differ.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tuirnn import spans
from tuirnn.training.losses import CrossEntropy


def main() -> None:
    """Print a line for each vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--outputs", default="10001,20001")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.manual_seed(0)
    for outputs in map(int, given.outputs.split(",")):
        head, loss = nn.Linear(given.width, outputs), CrossEntropy()
        x = torch.randn(given.rows, 1, given.width, requires_grad=True)
        targets = torch.randint(outputs, (given.rows, 1))
        ways: list[Callable[[], Tensor]] = [
            lambda: loss(head(x), targets),  # noqa: B023 (called in this round)
            lambda: loss.of_head(x, head, targets),  # noqa: B023
        ]
        best, gradients = [float("inf")] * len(ways), [torch.empty(0)] * len(ways)
        for _ in range(given.rounds):
            for number, way in enumerate(ways):
                x.grad = None
                head.zero_grad()
                began = time.perf_counter()
                way().backward()  # type: ignore[no-untyped-call]
                best[number] = min(best[number], time.perf_counter() - began)
                assert head.weight.grad is not None
                gradients[number] = head.weight.grad.clone()
        off = float((gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max())
        print(
            f"{outputs:,} outputs: {1e3 * best[0]:.0f} ms at once, {1e3 * best[1]:.0f} ms in pieces of "
            f"{spans.head_rows(given.rows, outputs):,} rows; gradients differ by {off:.1e} of the largest"
        )


if __name__ == "__main__":
    main()
