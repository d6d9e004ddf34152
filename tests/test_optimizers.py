"""The update rules: the same bits as `torch.optim`'s classes, without the compiler that those load."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import train_small
from torch import nn

from tuirnn.cells import CELLS
from tuirnn.errors import DivergedError
from tuirnn.runs import checkpoint
from tuirnn.settings.training import TrainConfig
from tuirnn.training.optimizers import learning_rate, make_optimizer

THEIRS = {
    "sgd": lambda groups, momentum: torch.optim.SGD(groups, lr=1.0, momentum=momentum),
    "rmsprop": lambda groups, momentum: torch.optim.RMSprop(groups, lr=1.0, momentum=momentum),
    "adam": lambda groups, momentum: torch.optim.Adam(groups, lr=1.0, betas=(0.9, 0.99), fused=True),
    "adamw": lambda groups, momentum: torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.99), fused=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rule", THEIRS)
def test_the_same_bits_as_torch_optim(rule: str, momentum: float, dtype: torch.dtype) -> None:
    config = TrainConfig(optimizer=rule, momentum=momentum, weight_decay=0.1)
    torch.manual_seed(0)
    mine = nn.Linear(7, 5, dtype=dtype)
    other = nn.Linear(7, 5, dtype=dtype)
    other.load_state_dict(mine.state_dict())
    ours = make_optimizer(mine, config)
    theirs = THEIRS[rule](
        [{"params": [other.weight], "weight_decay": 0.1}, {"params": [other.bias], "weight_decay": 0.0}], momentum
    )
    for step in range(6):
        rate = learning_rate(config, step, step / 6)
        x = torch.randn(3, 7, dtype=dtype)
        for model, optimizer in ((mine, ours), (other, theirs)):
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
        assert torch.equal(mine.weight, other.weight)
        assert torch.equal(mine.bias, other.bias)
    for p, q in zip(mine.parameters(), other.parameters(), strict=True):
        kept = {name: value for name, value in theirs.state[q].items() if value is not None}
        assert ours.state[p].keys() == kept.keys()
        assert all(torch.equal(ours.state[p][name], value) for name, value in kept.items())


def test_a_parameter_without_gradient_stays_as_it_is() -> None:
    model = nn.Linear(3, 2)
    optimizer = make_optimizer(model, TrainConfig())
    model.weight.sum().backward()
    bias = model.bias.detach().clone()
    optimizer.step()
    assert torch.equal(model.bias, bias)
    assert list(optimizer.state) == [model.weight]


def test_training_does_not_load_the_compiler(tmp_path: Path, small_text: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tuirnn.config import RunConfig
from tuirnn.training import launch
config = RunConfig().replace(sources=({str(small_text)!r},), hidden=8, embed=4, seq_len=8, batch_size=4, steps=2,
                             sample_length=2)
launch.start(config, Path({str(tmp_path)!r}), "one", lambda event: None)
sys.exit("torch._dynamo" in sys.modules or "sympy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_vectors_stay_within_the_limit_that_their_cell_sets(tmp_path: Path, small_text: Path) -> None:
    """At a rate that drives |u| of an IndRNN beyond 1, where its state grows without bound."""
    from safetensors.torch import load

    limited = [cell for cell in CELLS.values() if cell.limits]
    assert limited
    for cell in limited:
        run = train_small(tmp_path, cell.name, small_text, cell=cell.name, lr=0.5, schedule="constant", warmup=0)
        weights = load(checkpoint.load(run, "last").files[checkpoint.MODEL])
        for place, name in enumerate(cell.vectors):
            if name in cell.limits:
                largest = weights["layers.0.vectors"][place].abs().max().item()
                assert largest == pytest.approx(cell.limits[name])  # reached, not passed


def test_an_evaluation_of_diverged_weights_ends_as_a_divergence(tmp_path: Path, small_text: Path) -> None:
    """The loss of the last step is finite, but its update is not: the text that an evaluation writes breaks off."""
    with pytest.raises(DivergedError):
        train_small(
            tmp_path, "one", small_text, cell="rnn", nonlinearity="relu", optimizer="sgd", lr=1e6, clip=0.0,
            schedule="constant", warmup=0, eval_every=2,
        )  # fmt: skip
