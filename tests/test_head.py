"""A wide head and its loss in pieces: the values and gradients of the usual way."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tuirnn import spans
from tuirnn.config import RunConfig
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail
from tuirnn.tasks.batches import IGNORE
from tuirnn.training.losses import CrossEntropy


def both_ways(x: torch.Tensor, head: nn.Linear, targets: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Loss and gradients of the usual way, then of that in pieces; each three times the loss."""
    found = []
    for of in (lambda: CrossEntropy()(head(x), targets), lambda: CrossEntropy().of_head(x, head, targets)):
        x.grad = None
        head.zero_grad()
        loss = of()
        (3 * loss).backward()  # type: ignore[no-untyped-call]
        gradients = (x.grad, head.weight.grad, head.bias.grad)
        found.append((loss.detach(), *(gradient.clone() for gradient in gradients if gradient is not None)))
    return found


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 40), outputs=st.integers(2, 30), at_once=st.integers(1, 200),
    scale=st.sampled_from([1.0, 60.0]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_pieces_give_the_loss_and_gradients_of_the_whole(
    rows: int, outputs: int, at_once: int, scale: float, seed: int
) -> None:
    torch.manual_seed(seed)
    head = nn.Linear(5, outputs)
    x = (scale * torch.randn(rows, 1, 5)).requires_grad_()
    targets = torch.randint(outputs, (rows, 1)).masked_fill(torch.rand(rows, 1) < 0.3, IGNORE)
    targets[0] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "LOGITS_AT_ONCE", at_once)
        usual, in_pieces = both_ways(x, head, targets)
    assert len(usual) == len(in_pieces) == 4
    for expected, found in zip(usual, in_pieces, strict=True):
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5 * scale)


def test_only_a_plain_loss_of_many_logits_is_taken_in_pieces() -> None:
    rows = 2 * spans.LOGITS_AT_ONCE // 1000
    narrow, wide = nn.Linear(1, 1000), nn.Linear(1, 1001)
    assert CrossEntropy().takes_head(rows, wide)
    assert not CrossEntropy().takes_head(rows, narrow)
    for loss in (CrossEntropy(torch.ones(1001)), CrossEntropy(smoothing=0.1)):
        assert not loss.takes_head(rows, wide)


@pytest.mark.parametrize("changes", [{"tied": True, "accumulate": 2}, {"projection": 6, "dtype": "bfloat16"}])
def test_a_training_in_pieces_learns_the_same(
    changes: dict[str, object], small_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuirnn.training import launch

    def losses(name: str) -> list[float]:
        config = RunConfig().replace(
            sources=(str(small_text),), hidden=8, embed=8, batch_size=4, seq_len=12,
            steps=6, eval_every=100, sample_length=0, device="cpu", **changes,
        )  # fmt: skip
        launch.start(config, tmp_path, name, lambda event: None)
        records = LogTail(RunPaths(tmp_path / name).metrics).read()
        return [record["loss"] for record in records if record["split"] in ("train", "val")]

    usual = losses("usual")
    monkeypatch.setattr(spans, "LOGITS_AT_ONCE", 64)
    taken: list[int] = []
    of_head: Callable[..., torch.Tensor] = CrossEntropy.of_head
    monkeypatch.setattr(CrossEntropy, "of_head", lambda *given: taken.append(1) or of_head(*given))
    assert losses("pieces") == pytest.approx(usual, rel=1e-4)
    assert len(taken) == 6 * (2 if "accumulate" in changes else 1)
