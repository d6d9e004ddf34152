"""Update rules (PyTorch's) and learning-rate schedules (functions of step and progress)."""

import math
from typing import Any

import torch
from torch import nn

from tuirnn.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names; weight decay acts on matrices, not on biases.

    On CUDA its rate is a tensor there and its update holds in a CUDA graph.
    """
    named = [parameter for parameter in model.parameters() if parameter.requires_grad]
    cuda = named[0].is_cuda
    rate: Any = torch.tensor(config.lr, device=named[0].device) if cuda else config.lr
    groups = [
        {"params": [p for p in named if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in named if p.dim() < 2], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=config.momentum, fused=True if cuda else None)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, momentum=config.momentum, capturable=cuda)
    kind: Any = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    optimizer: torch.optim.Optimizer = kind(groups, lr=rate, betas=(0.9, 0.99), fused=True, capturable=cuda)
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next update, put where the optimizer's own rate is."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def state_names(optimizer: torch.optim.Optimizer) -> set[str]:
    """Names of the tensors that the optimizer keeps for each parameter once it has made a step."""
    momentum = {"momentum_buffer"} if optimizer.defaults.get("momentum") else set()
    if isinstance(optimizer, torch.optim.SGD):
        return momentum
    if isinstance(optimizer, torch.optim.RMSprop):
        return momentum | {"step", "square_avg"}
    return {"step", "exp_avg", "exp_avg_sq"}


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """The rate for the update after `step` updates.

    Args:
        config: peak rate, schedule and warm-up.
        step: updates done so far.
        progress: share of the run that is over, 0..1, by whichever limit is nearest.
    """
    rate = config.lr
    if config.schedule == "step":
        rate *= config.lr_factor ** (step // config.lr_step)
    elif config.schedule == "cosine":
        rate *= config.lr_floor + (1 - config.lr_floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return rate * min(1.0, (step + 1) / (config.warmup + 1))
