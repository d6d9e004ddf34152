"""The half of each task that needs PyTorch: one module a task, of the task's name, which ends in its `HALF`."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from tuirnn.config import RunConfig
from tuirnn.training.evaluator import Evaluator
from tuirnn.training.losses import Loss


@dataclass(frozen=True)
class Half:
    """What training asks of a task; the data are those that the task has loaded.

    Attributes:
        make_loss: of the settings, the data and the device.
        evaluator: its class.
    """

    make_loss: Callable[[RunConfig, Any, torch.device], Loss]
    evaluator: type[Evaluator[Any]]


def half_of(config: RunConfig) -> Half:
    """The half of a run's task."""
    found = import_module(f"{__name__}.{config.task.name}").HALF
    assert isinstance(found, Half)
    return found
