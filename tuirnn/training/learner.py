"""What every process of a training does: its lanes of each batch, there and back, and the same update as all others."""

import contextlib
import math
from collections.abc import Sequence
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
from tuirnn.training.feed import Feed
from tuirnn.training.losses import make_loss
from tuirnn.training.optimizers import make_optimizer, set_rate
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
        parts: those that are in memory at once, one after the other.
        state: carried, of these lanes.
    """

    def __init__(self, config: RunConfig, data: TaskData, team: Alone, device: torch.device) -> None:
        self.config, self.data, self.team, self.device = config, data, team, device
        torch.manual_seed(config.train.seed)
        self.model = build_model(config, data).to(device)
        self.batches = data.batches(config.train)
        self.feed = Feed(self.batches, device)
        self.lanes = team.lanes(self.batches.B)
        self.parts = self.lanes.divided(config.train.accumulate)
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
        train = self.config.train
        x, y, carry = batch = self.batches.next()
        hidden = torch.rand(x.shape, device=self.device) < train.token_dropout if train.token_dropout else None
        self.optimizer.zero_grad()
        unit = int((y != IGNORE).sum()) if train.summed else 1
        before = self._carried(carry[self.lanes.own])
        random = random_state(self.device) if len(self.parts) > 1 else None
        loss, after = torch.zeros((), device=self.device), []
        for part in self.parts:
            tokens, targets = self.feed(batch, part.own)
            if hidden is not None:
                tokens = tokens.masked_fill(hidden[:, part.own], self.unknown)
            local = slice(part.first - self.lanes.first, part.last - self.lanes.first)
            if random is not None:
                set_random_state(random, self.device)  # every part draws for the whole batch, the same
            with self.team.holding(self.network) if part is not self.parts[-1] else contextlib.nullcontext():
                logits, state = self.network(tokens, _lanes_of(before, local), lanes=part)
                share = self.loss(logits, targets) * (self.loss.weight(y[:, part.own]) / self.loss.weight(y))
                del logits
                (share * unit).backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
            after.append(detached(state))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), train.clip or math.inf)
        set_rate(self.optimizer, rate)
        self.optimizer.step()
        self.state = _side_by_side(after)
        return self.team.add(loss), norm, x.shape[0] * x.shape[1]

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


def random_state(device: torch.device) -> Tensor:
    """Where the random numbers of a device come from next."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Draw from there again."""
    torch.cuda.set_rng_state(state, device) if device.type == "cuda" else torch.set_rng_state(state)


def _lanes_of(state: Sequence[State], own: slice) -> list[State]:
    return [tuple(tensor[own] for tensor in layer) for layer in state]


def _side_by_side(parts: Sequence[Sequence[State]]) -> list[State]:
    """The states of all lanes from those of their parts, each tensor [B, H]."""
    return [tuple(torch.cat(tensors) for tensors in zip(*layers, strict=True)) for layers in zip(*parts, strict=True)]
