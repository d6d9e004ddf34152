"""What every process of a training does: its lanes of each batch, there and back, and the same update as all others."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tuirnn.cells import State
from tuirnn.config import RunConfig
from tuirnn.errors import RunError, VerificationError
from tuirnn.models import COMPUTE_DTYPES, SequenceModel, detached
from tuirnn.runs.checkpoint import Checkpoint
from tuirnn.tasks import TaskData
from tuirnn.tasks.batches import IGNORE
from tuirnn.training import checkpoints
from tuirnn.training.losses import make_loss
from tuirnn.training.optimizers import make_optimizer
from tuirnn.training.team import Alone


def build_model(config: RunConfig, data: TaskData) -> SequenceModel:
    """The untrained network for this data."""
    return SequenceModel(
        config.model,
        data.inputs,
        outputs=data.outputs,
        unk=data.vocab.unk,
        compute_dtype=COMPUTE_DTYPES[config.train.dtype],
        memory=config.train.memory,
    )


class Learner:
    """The network, its optimizer, the batches and the hidden state carried from one to the next.

    Each process draws the whole of every batch and all of its random numbers, and takes its own lanes of them: so the
    random generators are the same everywhere, and what is learned does not depend on how many processes there are.

    Args:
        config: every setting.
        data: of the run's task.
        team: the processes that share each batch.
        device: where to compute.

    Attributes:
        lanes: this process's part of a batch.
        state: carried, of these lanes.
    """

    def __init__(self, config: RunConfig, data: TaskData, team: Alone, device: torch.device) -> None:
        self.config, self.data, self.team, self.device = config, data, team, device
        torch.manual_seed(config.train.seed)
        self.model = build_model(config, data).to(device)
        self.batches = data.batches(config.train)
        self.lanes = team.lanes(self.batches.B)
        self.optimizer = make_optimizer(self.model, config.train)
        self.loss = make_loss(config, data, device)
        self.unknown = data.vocab.unk or 0
        self.state = self.model.zero_state(len(self.lanes))
        self.network = team.wrap(self.model)

    def training_step(self, rate: float) -> tuple[Tensor, Tensor, int]:
        """One batch, one update.

        Args:
            rate: the learning rate.
        Returns:
            the loss and the gradient's norm before clipping, of the whole batch, and the batch's size in tokens.
        """
        train, own = self.config.train, self.lanes.own
        x, y, carry = self.batches.next()
        tokens = torch.from_numpy(x[:, own]).to(self.device, non_blocking=True)
        targets = torch.from_numpy(y[:, own]).to(self.device, non_blocking=True)
        if train.token_dropout:
            hidden = torch.rand(x.shape, device=self.device) < train.token_dropout
            tokens = tokens.masked_fill(hidden[:, own], self.unknown)
        logits, after = self.network(tokens, self._carried(carry[own]), lanes=self.lanes)
        loss = self.loss(logits, targets) * (self.loss.weight(y[:, own]) / self.loss.weight(y))
        self.optimizer.zero_grad(set_to_none=True)
        objective = loss * int((y != IGNORE).sum()) if train.summed else loss
        objective.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), train.clip or math.inf)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.state = detached(after)
        return self.team.add(loss.detach()), norm, x.shape[0] * x.shape[1]

    def _carried(self, carry: npt.NDArray[np.float32]) -> list[State]:
        if not carry.any():
            return self.model.zero_state(len(self.lanes))
        if carry.all():
            return self.state
        keep = torch.from_numpy(carry)[:, None].to(self.device, self.state[0][0].dtype)
        return [tuple(tensor * keep for tensor in layer) for layer in self.state]

    def show(self) -> list[State]:
        """The carried hidden state of the whole batch; nothing where none is carried.

        Raises:
            VerificationError: the processes' weights are no longer the same.
        """
        if not self.team.agree(self.model):
            raise VerificationError(
                "the processes' weights have drifted apart, which must not happen: the machine, or its arithmetic, is "
                "at fault; go on from the last checkpoint with --processes 1"
            )
        if not self.batches.carries_state:
            return []
        return [tuple(self._whole(tensor) for tensor in layer) for layer in self.state]

    def _whole(self, tensor: Tensor) -> Tensor:
        if len(self.lanes) == self.lanes.B:
            return tensor
        whole = tensor.new_zeros(self.lanes.B, *tensor.shape[1:])
        whole[self.lanes.own] = tensor
        return self.team.add(whole)

    def restore(self, saved: Checkpoint) -> dict[str, Any]:
        """Go on exactly where `saved` was taken; with other data than it was taken on, from their beginning.

        Returns:
            its `trainer.json`.
        Raises:
            RunError: the checkpoint does not fit this run.
            KeyError, TypeError, ValueError, OverflowError, DataError: its cursor is damaged.
        """
        carried, values = checkpoints.unpack(saved, self.model, self.optimizer, self.device)
        if values["data"] == self.data.sha256:
            self.batches.restore(values["cursor"])
            whole = carried or self.model.zero_state(self.batches.B)
            self._fits(whole, saved)
            self.state = [tuple(tensor[self.lanes.own] for tensor in layer) for layer in whole]
        return values

    def _fits(self, state: list[State], saved: Checkpoint) -> None:
        wanted = self.model.zero_state(self.batches.B)
        forms, ours = ([[(t.shape, t.dtype) for t in layer] for layer in each] for each in (state, wanted))
        if forms != ours:
            raise RunError(f"{saved.path.name} carries a hidden state of another shape than this run's")
