"""Update rules (PyTorch's) and learning-rate schedules (functions of step and progress).

The rules are called in their functional form: `torch.optim`'s classes load the compiler (`torch._dynamo` and with it
sympy) when the first one is made, more than a second and 100 MB that a training which compiles nothing has no use for.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from tuirnn.settings.training import TrainConfig

ParameterState = dict[str, Tensor]
"""What a rule remembers of one parameter, under the names that `torch.optim` gives it."""


class Optimizer:
    """A rule over groups of parameters; attributes and the names in `state` are those of `torch.optim`.

    Args:
        groups: each with 'params', 'weight_decay' and 'lr', a number or a tensor beside the parameters.

    Attributes:
        param_groups: the groups.
        state: of every parameter that has been updated; tensors on the parameter's device.
    """

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        self.param_groups = list(groups)
        self.state: dict[Tensor, ParameterState] = {}

    def begin(self, parameter: Tensor) -> ParameterState:
        """The state before the first update."""
        raise AssertionError("subclasses define it")

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], states: list[ParameterState], group: dict[str, Any]
    ) -> None:
        """One update, in place."""
        raise AssertionError("subclasses define it")

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                states = [self.state[p] if p in self.state else self._begin(p) for p in parameters]
                self.update(parameters, [p.grad for p in parameters], states, group)

    def _begin(self, parameter: Tensor) -> ParameterState:
        return self.state.setdefault(parameter, self.begin(parameter))


class SGD(Optimizer):
    """θ -= lr·m, m = momentum·m + g."""

    def __init__(self, groups: Sequence[dict[str, Any]], momentum: float) -> None:
        super().__init__(groups)
        self.momentum = momentum

    def begin(self, parameter: Tensor) -> ParameterState:
        """See `Optimizer.begin`."""
        return {"momentum_buffer": torch.zeros_like(parameter)} if self.momentum else {}

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], states: list[ParameterState], group: dict[str, Any]
    ) -> None:
        """See `Optimizer.update`."""
        sgd(
            parameters, gradients, [state.get("momentum_buffer") for state in states], lr=group["lr"],
            weight_decay=group["weight_decay"], momentum=self.momentum, dampening=0.0, nesterov=False, maximize=False,
            fused=parameters[0].is_cuda,
        )  # fmt: skip


class RMSprop(Optimizer):
    """θ -= lr·g/√v, v = 0.99·v + 0.01·g² (Tieleman and Hinton 2012); with momentum, m gathers g/√v."""

    def __init__(self, groups: Sequence[dict[str, Any]], momentum: float) -> None:
        super().__init__(groups)
        self.momentum = momentum

    def begin(self, parameter: Tensor) -> ParameterState:
        """See `Optimizer.begin`."""
        state = {"step": _no_steps(parameter), "square_avg": torch.zeros_like(parameter)}
        return state | ({"momentum_buffer": torch.zeros_like(parameter)} if self.momentum else {})

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], states: list[ParameterState], group: dict[str, Any]
    ) -> None:
        """See `Optimizer.update`."""
        rmsprop(
            parameters, gradients, [state["square_avg"] for state in states], [],
            [state["momentum_buffer"] for state in states] if self.momentum else [],
            [state["step"] for state in states], lr=group["lr"], weight_decay=group["weight_decay"], alpha=0.99,
            eps=1e-8, momentum=self.momentum, centered=False, capturable=parameters[0].is_cuda,
        )  # fmt: skip


class Adam(Optimizer):
    """θ -= lr·m̂/(√v̂ + ε) (Kingma and Ba 2015), or with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, groups: Sequence[dict[str, Any]], *, decoupled: bool) -> None:
        super().__init__(groups)
        self.rule: Any = adamw if decoupled else adam

    def begin(self, parameter: Tensor) -> ParameterState:
        """See `Optimizer.begin`."""
        return {
            "step": _no_steps(parameter),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], states: list[ParameterState], group: dict[str, Any]
    ) -> None:
        """See `Optimizer.update`."""
        self.rule(
            parameters, gradients, *([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq")), [],
            [state["step"] for state in states], lr=group["lr"], weight_decay=group["weight_decay"], beta1=0.9,
            beta2=0.99, eps=1e-8, amsgrad=False, maximize=False, fused=True,
        )  # fmt: skip


def _no_steps(parameter: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.float32, device=parameter.device)


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer that `config` names; weight decay acts on matrices, not on biases.

    On CUDA its rate is a tensor there: its update can be held in a CUDA graph, and never waits for the device.
    """
    named = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate = torch.tensor(config.lr, device=named[0].device) if named[0].is_cuda else config.lr
    groups = [
        {"params": [p for p in named if p.dim() >= 2], "weight_decay": config.weight_decay, "lr": rate},
        {"params": [p for p in named if p.dim() < 2], "weight_decay": 0.0, "lr": rate},
    ]
    if config.optimizer == "sgd":
        return SGD(groups, config.momentum)
    if config.optimizer == "rmsprop":
        return RMSprop(groups, config.momentum)
    return Adam(groups, decoupled=config.optimizer == "adamw")


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """The learning rate of the next update, put where the optimizer's own is."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


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
